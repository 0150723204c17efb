"""What a MES publishes becomes job orders: each preset, its variants, and what is refused."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from edge_daemon.config import OrderFields, OrderSource, OrderWords
from edge_daemon.core.job_orders import (
    JobOrder,
    OrderState,
)
from edge_daemon.core.values import Instant
from edge_daemon.errors import ConfigurationError, SenderError
from edge_daemon.messaging.orders import OrderReader, Reading, Unreadable, compile_source

NOW = Instant(10.0, 1_795_338_000.0)
PRESETS = ("flat", "umh-core", "b2mml", "opc-10031-4", "value")
DISPATCHED, RUNNING, COMPLETED = OrderState.DISPATCHED, OrderState.RUNNING, OrderState.COMPLETED


def reader(preset: str) -> OrderReader:
    return compile_source(OrderSource.model_validate({"topic": "mes/orders", "preset": preset}))


Order = tuple[str | None, str | None, OrderState | None, str]


def body(document: Any) -> bytes:
    return document if isinstance(document, bytes) else json.dumps(document).encode()


def read(preset: str, document: Any) -> list[Order]:
    """Id, product, state and word of each order, all of which must be readable."""
    return [shown(one) for one in reader(preset).read(body(document), NOW)]


def shown(reading: Reading) -> Order:
    if isinstance(reading, Unreadable):
        raise reading.error
    assert reading.arrived is NOW
    return reading.id, reading.product, reading.state, reading.word


def b2mml(*orders: dict[str, Any]) -> dict[str, Any]:
    return {"WorkSchedule": [{"ID": "S1", "WorkRequest": [{"ID": "R1", "JobOrder": list(orders)}]}]}


def job(order: Any, product: Any, status: Any, **more: Any) -> dict[str, Any]:
    return {
        "ID": order,
        "DispatchStatus": status,
        "MaterialRequirement": [
            {"MaterialUse": "Consumed", "MaterialDefinitionID": ["RESIN"]},
            {"MaterialUse": "Produced", "MaterialDefinitionID": [product]},
        ],
        **more,
    }


def opc(order: str, product: str, *states: str) -> dict[str, Any]:
    return {
        "JobOrder": {
            "JobOrderID": order,
            "MaterialRequirements": [
                {"MaterialDefinitionID": "RESIN", "MaterialUse": "Consumed"},
                {"MaterialDefinitionID": product, "MaterialUse": "Produced"},
            ],
        },
        "State": [{"StateText": {"Text": text, "Locale": "en"}} for text in states],
    }


@pytest.mark.parametrize(
    ("preset", "words"),
    [
        ("flat", {"Dispatched": DISPATCHED, "RUNNING": RUNNING, "completed": COMPLETED}),
        ("umh-core", {"created": DISPATCHED, "In-Progress": RUNNING, "completed": COMPLETED}),
        (
            "b2mml",
            {
                "Dispatched": DISPATCHED,
                "ready": DISPATCHED,
                "Running": RUNNING,
                "Completed": COMPLETED,
                "Closed": COMPLETED,
                "Aborted": COMPLETED,
                "CANCELLED": COMPLETED,
                "Held": None,
                "Waiting": None,
            },
        ),
        (
            "opc-10031-4",
            {
                "AllowedToStart": DISPATCHED,
                "running": RUNNING,
                "Ended": COMPLETED,
                "Aborted": COMPLETED,
                "NotAllowedToStart": None,
                "Interrupted": None,
            },
        ),
    ],
)
def test_every_word_of_a_preset_means_what_the_table_says(
    preset: str, words: dict[str, OrderState | None]
) -> None:
    """Words are known without case; those that are not mapped are recorded, with no state."""
    shapes = {
        "flat": lambda word: {"workOrder": "WO-1", "productCode": "BTL", "status": word},
        "umh-core": lambda word: {"orderId": "WO-1", "productId": "BTL", "status": word},
        "b2mml": lambda word: b2mml(job("WO-1", "BTL", word)),
        "opc-10031-4": lambda word: opc("WO-1", "BTL", word),
    }
    for word, state in words.items():
        assert read(preset, shapes[preset](word)) == [("WO-1", "BTL", state, word)]


@pytest.mark.parametrize(
    ("preset", "document", "orders"),
    [
        (
            "flat",
            {"workOrder": 17, "productCode": 500, "status": "running", "shift": {"crew": None}},
            [("17", "500", RUNNING, "running")],
        ),
        (
            "flat",
            [
                {"workOrder": "A", "productCode": "P", "status": "completed"},
                {"workOrder": "B", "productCode": "Q", "status": "running"},
            ],
            [("A", "P", COMPLETED, "completed"), ("B", "Q", RUNNING, "running")],
        ),
        (
            "b2mml",
            b2mml(
                job({"$": "WO-1", "@schemeID": "x"}, {"$": "BTL"}, {"$": "Completed"}),
                job("WO-2", "CAN", "Running"),
            ),
            [("WO-1", "BTL", COMPLETED, "Completed"), ("WO-2", "CAN", RUNNING, "Running")],
        ),
        (
            "b2mml",
            {
                "b2mml:ProcessWorkSchedule": {
                    "b2mml:DataArea": {
                        "b2mml:WorkSchedule": {
                            "b2mml:WorkRequest": {
                                "b2mml:JobOrder": {
                                    "b2mml:ID": {"$": "WO-3"},
                                    "b2mml:DispatchStatus": "Ready",
                                    "b2mml:MaterialRequirement": {
                                        "b2mml:MaterialUse": {"$": "produced"},
                                        "b2mml:MaterialDefinitionID": {"$": "BTL"},
                                    },
                                }
                            }
                        }
                    }
                }
            },
            [("WO-3", "BTL", DISPATCHED, "Ready")],
        ),
        (
            "b2mml",
            b2mml({"ID": "OLD", "DispatchStatus": "Closed"}, job("WO-4", "BTL", "Running")),
            [("OLD", None, COMPLETED, "Closed"), ("WO-4", "BTL", RUNNING, "Running")],
        ),
        (
            "b2mml",
            b2mml(
                {
                    "ID": "WO-5",
                    "DispatchStatus": "Running",
                    "MaterialRequirements": {
                        "MaterialRequirement": [
                            {"MaterialUse": "Material Produced", "MaterialDefinitionID": "BTL"}
                        ]
                    },
                }
            ),
            [("WO-5", "BTL", RUNNING, "Running")],
        ),
        ("b2mml", b2mml(job("WO-6", "BTL", None)), [("WO-6", "BTL", None, "")]),
        (
            "opc-10031-4",
            {**opc("WO-1", "BTL")["JobOrder"], "State": [{"StateText": {"Text": "Running"}}]},
            [("WO-1", "BTL", RUNNING, "Running")],
        ),
        (
            "opc-10031-4",
            opc("WO-1", "BTL", "AllowedToStart", "Running"),
            [("WO-1", "BTL", RUNNING, "Running")],
        ),
        (
            "opc-10031-4",
            opc("WO-1", "BTL", "AllowedToStart", "Ready"),
            [("WO-1", "BTL", DISPATCHED, "AllowedToStart")],
        ),
        (
            "opc-10031-4",
            {
                **opc("WO-1", "BTL"),
                "State": [
                    {"StateText": {"Text": "Running"}, "BrowsePath": {"Elements": [{}, {}]}},
                    {"StateText": {"Text": "Ended"}, "BrowsePath": None},
                ],
            },
            [("WO-1", "BTL", RUNNING, "Running")],
        ),
        (
            "opc-10031-4",
            {"Messages": [{"Payload": opc("WO-1", "BTL", "Running")}]},
            [("WO-1", "BTL", RUNNING, "Running")],
        ),
        ("value", {"value": "BTL-500", "quality": "Good"}, [(None, "BTL-500", RUNNING, "")]),
        ("value", b"BTL-500\n", [(None, "BTL-500", RUNNING, "")]),
        ("value", b'"BTL-500"', [(None, "BTL-500", RUNNING, "")]),
        ("value", b"0042", [(None, "0042", RUNNING, "")]),
        ("value", b"1.50", [(None, "1.50", RUNNING, "")]),
        ("value", {"value": 42}, [(None, "42", RUNNING, "")]),
        ("flat", b"", []),
        ("value", b"  ", []),
    ],
)
def test_a_preset_reads_what_systems_really_send(
    preset: str, document: Any, orders: list[Order]
) -> None:
    """Wrappers, prefixes, one object for a list and ids as objects read the same."""
    assert read(preset, document) == orders


@pytest.mark.parametrize("before", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("behind", [b"\0", b"\0" * 57, b"\r\n\0", b"\0 \n"])
def test_what_pads_a_payload_is_no_part_of_it(before: bytes, behind: bytes) -> None:
    """C programs send the NUL behind their text, or their whole buffer; others a byte order mark.

    JSON and plain text are cut alike, and a payload of nothing else is an empty one.
    """
    flat = b'{"workOrder":"WO-1","productCode":"BTL-500","status":"running"}'
    assert read("flat", before + flat + behind) == [("WO-1", "BTL-500", RUNNING, "running")]
    assert read("value", before + b"BTL-500" + behind) == [(None, "BTL-500", RUNNING, "")]
    assert read("flat", before + behind) == read("value", before + behind) == []


@pytest.mark.parametrize(
    ("preset", "document", "named"),
    [
        ("flat", {"workOrder": "A", "status": "running"}, "productCode"),
        ("flat", {"workOrder": "A", "productCode": "", "status": "running"}, "productCode"),
        ("flat", {"workOrder": "A", "productCode": "P"}, "status"),
        ("flat", {"workOrder": "A", "productCode": True, "status": "running"}, "product"),
        ("flat", {"workOrder": "A", "productCode": "x" * 257, "status": "running"}, "256"),
        ("flat", "running", "object"),
        ("flat", b"{", "JSON"),
        (
            "flat",
            b'{"workOrder":"A","productCode":"P","productCode":"Q","status":"running"}',
            "twice",
        ),
        ("b2mml", {"WorkSchedule": []}, "WorkSchedule[].WorkRequest[].JobOrder[]"),
        ("b2mml", b2mml({"ID": "A", "DispatchStatus": "Running"}), "Produced"),
        ("opc-10031-4", {"State": []}, "JobOrderID"),
        ("value", {"val": 1}, "value"),
        ("value", b"null", "value"),
        ("value", b"{broken", "JSON"),
        ("value", b"\xff\xfe", "UTF-8"),
    ],
)
def test_a_refusal_names_what_is_missing_and_where_it_looked(
    preset: str, document: Any, named: str
) -> None:
    """An order that cannot be understood is the sender's fault, said in one sentence."""
    with pytest.raises(SenderError) as refused:
        read(preset, document)
    assert named in refused.value.message
    assert refused.value.hint


def own(words: OrderWords | None = None, **fields: str) -> OrderReader:
    return compile_source(
        OrderSource(topic="acme/+/orders", fields=OrderFields.model_validate(fields), words=words)
    )


def test_fields_of_ones_own_are_read_by_jmespath() -> None:
    """JMESPath finds the parts, and `words` says what a state means."""
    mes = {"workOrder": "WO-9", "item": {"code": "CAN"}, "phase": "Gestartet"}
    read_one = own(
        OrderWords(running=("gestartet",)), order="workOrder", product="item.code", status="phase"
    )
    assert read_one.read(json.dumps(mes).encode(), NOW) == (
        JobOrder("CAN", RUNNING, NOW, "WO-9", "Gestartet"),
    )


def test_fields_without_a_state_take_arrival_as_running() -> None:
    """A MES that only names the product means that it is being made."""
    (order,) = own(product="product_id").read(b'{"product_id": "BTL"}', NOW)
    assert shown(order) == (None, "BTL", RUNNING, "")


def test_a_path_that_does_not_fit_the_payload_is_the_senders_fault() -> None:
    """A JMESPath function given the wrong type is reported, not raised through."""
    (order,) = own(product="join(',', codes)").read(b'{"codes": 7}', NOW)
    assert isinstance(order, Unreadable)
    assert "product" in order.error.message


def test_a_path_that_does_not_compile_is_a_configuration_error() -> None:
    """A wrong expression is found when the daemon starts, not with the first order."""
    source = OrderSource.model_construct(
        topic="t",
        preset=None,
        words=None,
        fields=OrderFields.model_construct(order=None, product="a[", status=None),
    )
    with pytest.raises(ConfigurationError, match="JMESPath"):
        compile_source(source)


SEEDS = [
    b'{"workOrder":"WO-1","productCode":"BTL","status":"running"}',
    b'{"orderId":"WO-1","productId":"BTL","status":"in-progress","quantity":3}',
    json.dumps(b2mml(job({"$": "WO-1"}, "BTL", "Running"))).encode(),
    json.dumps(opc("WO-1", "BTL", "AllowedToStart", "Running")).encode(),
    b'{"value":"BTL-500"}',
]


def test_ten_thousand_broken_payloads_raise_nothing_but_a_sender_error() -> None:
    """Bytes flipped, cut, doubled and swapped never bring the daemon down."""
    chance = random.Random(20261122)
    readers = [reader(preset) for preset in PRESETS] + [own(product="a.b[?c=='d'].e | [0]")]
    refused = 0
    for turn in range(10_000):
        payload = bytearray(chance.choice(SEEDS))
        for _ in range(chance.randint(1, 6)):
            at = chance.randrange(len(payload) + 1)
            mutation = chance.randrange(4)
            if mutation == 0 and payload:
                payload[at % len(payload)] = chance.randrange(256)
            elif mutation == 1:
                del payload[at : at + chance.randint(1, 8)]
            elif mutation == 2:
                payload[at:at] = payload[at : at + chance.randint(1, 16)]
            else:
                payload[at:at] = chance.choice(
                    [b"null", b"{", b"]", b'"', b"1e999", b"[[", b"\\ud800"]
                )
        try:
            readers[turn % len(readers)].read(bytes(payload), NOW)
        except SenderError:
            refused += 1
    assert 1000 < refused < 10_000


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "workOrder",
                    "productCode",
                    "status",
                    "WorkSchedule",
                    "WorkRequest",
                    "JobOrder",
                    "JobOrderID",
                    "ID",
                    "State",
                    "StateText",
                    "Text",
                    "MaterialRequirement",
                    "MaterialRequirements",
                    "MaterialUse",
                    "$",
                    "value",
                    "MaterialDefinitionID",
                    "DispatchStatus",
                    "BrowsePath",
                    "Elements",
                ]
            ),
            inner | st.just("Produced") | st.just("Running"),
            max_size=5,
        )
    ),
    max_leaves=24,
)


@settings(max_examples=300, deadline=None)
@given(document=anything, preset=st.sampled_from(PRESETS))
def test_any_document_is_read_or_refused(document: Any, preset: str) -> None:
    """Whatever JSON says in whichever shape: no order is made without a product."""
    try:
        orders = reader(preset).read(json.dumps(document).encode(), NOW)
    except SenderError:
        return
    made = [o for o in orders if isinstance(o, JobOrder) and o.state in (DISPATCHED, RUNNING)]
    assert all(order.product and len(order.product) <= 256 for order in made)


# --------------------------------------------------------------------------- known by its id


def by_id(preset: str, document: Any) -> list[Reading]:
    """As read where WO-7 was told to make cans."""
    return list(reader(preset).read(body(document), NOW, {"WO-7": "CAN"}.get))


@pytest.mark.parametrize(
    ("preset", "document", "state", "word"),
    [
        ("flat", {"workOrder": "WO-7", "status": "running"}, RUNNING, "running"),
        ("flat", {"workOrder": "WO-7", "status": "dispatched"}, DISPATCHED, "dispatched"),
        ("umh-core", {"orderId": "WO-7", "status": "in-progress"}, RUNNING, "in-progress"),
        ("umh-core", {"orderId": "WO-7", "status": "completed"}, COMPLETED, "completed"),
        ("b2mml", b2mml({"ID": "WO-7", "DispatchStatus": "Running"}), RUNNING, "Running"),
        (
            "opc-10031-4",
            {
                "JobOrder": {"JobOrderID": "WO-7", "MaterialRequirements": []},
                "State": [{"StateText": {"Text": "Running"}}],
            },
            RUNNING,
            "Running",
        ),
    ],
)
def test_an_order_that_was_told_before_is_known_by_its_id(
    preset: str, document: Any, state: OrderState, word: str
) -> None:
    """A MES that starts and ends orders by their id alone names the product once."""
    (order,) = by_id(preset, document)
    assert shown(order) == ("WO-7", "CAN", state, word)


def test_an_order_may_be_started_in_the_message_that_tells_it() -> None:
    """One after the other, as they stand in the message."""
    created = {"orderId": "WO-8", "productId": "BTL", "status": "created"}
    orders = by_id("umh-core", [created, {"orderId": "WO-8", "status": "in-progress"}])
    assert [shown(o)[1:3] for o in orders] == [("BTL", DISPATCHED), ("BTL", RUNNING)]


def test_an_id_that_was_never_told_is_refused_and_what_runs_is_known() -> None:
    """`runs` is what must not be judged by the model of the order before."""
    for status, runs in (("running", True), ("dispatched", False)):
        (order,) = by_id("flat", {"workOrder": "WO-9", "status": status})
        assert isinstance(order, Unreadable)
        assert (order.id, order.runs) == ("WO-9", runs)
        assert "'WO-9'" in order.error.message
        assert "productCode" in order.error.message
    (unreadable,) = by_id("flat", {"workOrder": "WO-9", "productCode": True, "status": "running"})
    assert isinstance(unreadable, Unreadable)
    assert unreadable.runs
    (noise,) = by_id("flat", {"status": "running"})
    assert isinstance(noise, Unreadable)
    assert not noise.runs, "a machine's state is no order"


def test_a_completed_order_needs_no_product_and_no_history() -> None:
    """It ends what runs under its id, whatever that makes."""
    (order,) = by_id("flat", {"workOrder": "WO-9", "status": "completed"})
    assert shown(order) == ("WO-9", None, COMPLETED, "completed")


def test_fields_may_map_the_id_without_a_product() -> None:
    """For a topic on which orders are only started and ended."""
    starts = own(order="id", status="to")
    orders = starts.read(b'[{"id":"WO-7","to":"running"},{"id":"X","to":"running"}]', NOW, get_can)
    assert shown(orders[0]) == ("WO-7", "CAN", RUNNING, "running")
    assert isinstance(orders[1], Unreadable)
    assert "does not map" in orders[1].error.message
    with pytest.raises(ValidationError, match="product"):
        OrderSource.model_validate({"topic": "t", "fields": {"status": "to"}})


def get_can(job_order: str) -> str | None:
    return "CAN" if job_order == "WO-7" else None


# --------------------------------------------------------------------------- several in one


MAINTENANCE = {"ID": "M-1", "WorkType": "Maintenance", "DispatchStatus": "Running"}


@pytest.mark.parametrize(
    ("preset", "document"),
    [
        ("b2mml", b2mml({**MAINTENANCE, "MaterialRequirement": []}, job("WO-1", "CAN", "Running"))),
        ("b2mml", b2mml(MAINTENANCE, job("WO-1", "CAN", "Running"))),
        (
            "opc-10031-4",
            {
                "JobOrderList": [
                    {
                        "JobOrder": {"JobOrderID": "M-1", "MaterialRequirements": []},
                        "State": [{"StateText": {"Text": "Running"}}],
                    },
                    opc("WO-1", "CAN", "Running"),
                ]
            },
        ),
    ],
)
def test_work_that_makes_nothing_is_no_order_of_this_station(preset: str, document: Any) -> None:
    """Maintenance, quality, or material that is used and not produced: recorded, and no more."""
    assert read(preset, document) == [
        ("M-1", None, None, "Running"),
        ("WO-1", "CAN", RUNNING, "Running"),
    ]


def test_each_order_of_a_message_is_read_on_its_own() -> None:
    """What is wrong with one says nothing about the others."""
    good = {"workOrder": "WO-1", "productCode": "CAN", "status": "running"}
    bad: list[Any] = [{"workOrder": "M-1", "status": "running"}, 7, {**good, "workOrder": "\n\0x"}]
    first, second, order, third = reader("flat").read(body([*bad[:2], good, bad[2]]), NOW)
    assert shown(order) == ("WO-1", "CAN", RUNNING, "running")
    for one in (first, second, third):
        assert isinstance(one, Unreadable)
        assert not one.runs, "WO-1 does"


# --------------------------------------------------------------------------- OPC UA's encodings


def data_value(value: Any) -> Any:
    return {"Value": value, "SourceTimestamp": "2026-01-01T00:00:00Z"}


def variant(value: Any) -> Any:
    return {"Type": 22, "Body": value}


def extension_object(value: Any) -> Any:
    return {"TypeId": {"Id": 3015}, "Body": value}


def newer_extension_object(value: Any) -> Any:
    return {"UaTypeId": "i=3015", "Value": value}


def wrapped(node: Any, wrap: Callable[[Any], Any]) -> Any:
    """Every object, list and value of it wrapped."""
    if isinstance(node, dict):
        return wrap({key: wrapped(value, wrap) for key, value in node.items()})
    return wrap([wrapped(entry, wrap) for entry in node] if isinstance(node, list) else node)


@pytest.mark.parametrize(
    "wrap", [data_value, variant, extension_object, newer_extension_object, lambda it: it]
)
def test_opc_ua_wraps_its_values_and_they_read_the_same(wrap: Callable[[Any], Any]) -> None:
    """DataValue, Variant and ExtensionObject, at every level or around the fields alone."""
    raw = opc("WO-1", "BTL-500", "Running")
    fields = {key: wrap(value) for key, value in raw.items()}
    network_message = {
        "MessageType": "ua-data",
        "Messages": [
            {"DataSetWriterId": 1, "Timestamp": "2026-01-01T00:00:00Z", "Payload": fields}
        ],
    }
    for document in (fields, network_message, wrapped(raw, wrap)):
        assert read("opc-10031-4", document) == [("WO-1", "BTL-500", RUNNING, "Running")]
