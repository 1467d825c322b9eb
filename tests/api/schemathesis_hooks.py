"""Values that Schemathesis does not generate: a radiograph, the id of an existing row, extreme times (tests/api/schemathesis.rs)."""

import os
import pathlib

import schemathesis
from hypothesis import strategies as st

IMAGE = pathlib.Path(os.environ["CXR_TEST_IMAGE"]).read_bytes()
ROW = os.environ["CXR_TEST_ROW"]

for media_type in ("image/jpeg", "image/png", "image/tiff", "application/octet-stream"):
    schemathesis.openapi.media_type(media_type, st.just(IMAGE) | st.binary(max_size=256))

# In UTC, the first and the last of these are outside the years of RFC 3339.
ENDS_OF_TIME = ["0000-01-01T00:00:00+01:00", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59-23:59"]
USUAL = st.datetimes().map(lambda moment: moment.isoformat() + "Z")
schemathesis.openapi.format("date-time", st.sampled_from(ENDS_OF_TIME) | USUAL)


@schemathesis.hook
def flatmap_path_parameters(context, path_parameters):
    """Half of the ids are that of the row."""
    if not path_parameters or "id" not in path_parameters:
        return st.just(path_parameters)
    return st.sampled_from([path_parameters, {**path_parameters, "id": ROW}])
