"""The crossing of the two wings: places where bundles are resident, and the pointer among them."""
