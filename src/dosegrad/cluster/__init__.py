"""Work spread over a Dask cluster; given where a function takes ``cluster=``."""
