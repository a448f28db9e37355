"""The strict store of the tests: empty for whoever opens it, whatever an earlier test of the same process left."""

from tests.strict_store import BUCKET, strict_store


def test_a_store_is_empty_whatever_an_earlier_test_left_in_it() -> None:
    with strict_store() as store:
        store.client.create_multipart_upload(Bucket=BUCKET, Key="launch/runs/brave-otter-0001/1/never-completed")
        store.client.put_object(Bucket=BUCKET, Key="launch/runs/brave-otter-0001/1/results", Body=b"kept")
    with strict_store() as store:
        assert "Uploads" not in store.client.list_multipart_uploads(Bucket=BUCKET)
        assert "Contents" not in store.client.list_objects_v2(Bucket=BUCKET)
