"""Many stations at once: what each of them reports, and who has which model.

report   what this station says of itself, retained on the broker
ledger   what all of them said, against the list of stations that there should be
publish  a bundle is put where stations fetch it from
receipts what stations show for their reports

messages        the retained topics of campaigns; campaign_file: as people write and sign them
follower        this station asks for its swaps; memory: what it must not forget
evaluator       opens the waves of a campaign, or stops it; saying: what people say of one
campaign_view   how campaigns stand, for the page; watch: all of it while somebody looks
freshness       which campaigns are current, and until when: metadata of TUF
"""
