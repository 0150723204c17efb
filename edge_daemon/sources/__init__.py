"""Where new bundles come from: a folder, a web server, an OCI registry, MLflow.

source      what every source can do, and what it says of one bundle
http        one client for all of them: ranges, bounded redirects, credentials, time-outs
pace        waiting, bandwidth, and the end of the daemon
pull_folder the folder in the store where a cut pull waits for its rest
fetch       one bundle from a source into the store, or the reason why not
folder, web, oci, mlflow   the kinds of sources; `kinds` makes them from the settings
write_back  tells MLflow (mlflow_tags) or a registry (oci_referrers) what became of a bundle
oci_repository   a registry for whoever pushes into it; oci_login: its tokens
watch       the daemon's own thread, which asks each source now and then

A source fills the store through the same door as `models add`, and makes nothing active.
"""
