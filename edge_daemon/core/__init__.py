"""The core: what is decided, and nothing that is done. Standard library only.

values      the nouns (frames, bundles, requests, orders, verdicts)
events      what happened, past tense        effects   what to do, imperative
lifecycle   the table of slot phases         state     everything the planner knows, one value
planner     step(state, event, now) -> (state, effects, records)
  admission   may this request be taken in       requests    what each verb does
  orders      what a job order does              operations  how one operation gets on
  cutover     what the lane's answer means       health      trials, losses, quarantine
  selection   which version, which slot          step_draft  one step in the making
gate, recipe, trial   facts in, judgement out
proof       what a gate measured, and when that may be built on
parts       frames become parts, each with one result
collecting  which parts' pictures are kept for the next training
"""
