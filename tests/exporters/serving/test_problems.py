import json

from exporters.serving.problems import RequestError, error_body


def test_headers_are_sent_only_where_they_are_wanted() -> None:
    assert RequestError(400, "no").headers == {}
    refused = RequestError(503, "the queue is full", retry_after=1, close=True)
    assert (refused.status, refused.headers) == (503, {"Retry-After": "1", "Connection": "close"})


def test_body_is_json_whatever_the_message_holds() -> None:
    assert json.loads(error_body('a "quoted"\nline é')) == {"error": 'a "quoted"\nline é'}
