"""Many stations, as values: what a station reports, what it adds up to, and campaigns.

report, ledger   one station, and all of them
campaign         one bundle for many stations     waves   who is in which wave
heard            messages in any order            station what a station fetches and does by itself
rules            open, stop or wait               simulated   whole campaigns with drawn stations
"""
