"""Where the two wings meet: places where bundles are resident, and the active one."""
