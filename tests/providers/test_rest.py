"""One JSON call over HTTP: sent once, bounded, and every odd answer is one of our errors."""

import gzip
import threading
from collections.abc import Callable
from decimal import Decimal

import pytest

from providers.base import Ambiguous, Busy, NotSetUp, ProviderError, Unavailable, Unreachable
from providers.rest import MOST_BYTES, Call, Reply, Rest
from tests.providers.plain_server import PlainServer, Said, closed_port, document

KEY = "canary-key-0123"
READ = Call(method="GET", path="/things", params={"page": "2"})
ACT = Call(method="POST", path="/things", body={"name": "é", "size": 1}, acts=True)
BOTH = pytest.mark.parametrize(("call", "kind"), [(READ, Unavailable), (ACT, Ambiguous)], ids=["reads", "acts"])
USELESS = {
    "a page": Said(body=b"<!doctype html><title>a proxy</title>"),
    "half a document": Said(body=b'{"data": [{"id": "a'),
    "no number": Said(body=b'{"usd": NaN}'),
    "a hundred thousand brackets": Said(body=b"[" * 100_000),
    "not even text": Said(body=b"\xff\xfe\x00{}"),
    "a page with 502": Said(status=502, body=b"<html>Bad Gateway</html>"),
    "a line cut in the answer": Said(body=b'{"data": 1}', cut=4),
    "a line cut before the answer": Said(body=b'{"data": 1}', cut=0),
    "no end": Said(body=b'"' + b"x" * MOST_BYTES + b'"'),
    "no end once it is unpacked": Said(
        body=gzip.compress(b'"' + b"x" * MOST_BYTES + b'"'), headers={"Content-Encoding": "gzip"}
    ),
}


def refusal(reply: Reply, call: Call) -> ProviderError:
    """A cloud's table of one row."""
    return Busy(f"{reply.status} {reply.document} to {call.path}", code=reply.headers.get("x-code", ""))


def rest(url: str) -> Rest:
    return Rest("Cloud", url, {"Authorization": f"Bearer {KEY}"}, refusal)


def failure(work: Callable[[], object]) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        work()
    return caught.value


@pytest.mark.parametrize("said", USELESS.values(), ids=USELESS)
@BOTH
def test_no_usable_answer_leaves_a_change_open_and_says_nothing_to_a_reader(
    server: PlainServer, said: Said, call: Call, kind: type[ProviderError]
) -> None:
    server.says(said)
    assert type(failure(lambda: rest(server.url).ask(call))) is kind


@pytest.mark.parametrize("said", USELESS.values(), ids=USELESS)
def test_what_changes_something_is_sent_once_whatever_comes_back(server: PlainServer, said: Said) -> None:
    server.says(said, document({"data": 1}))
    failure(lambda: rest(server.url).ask(ACT))
    assert server.asked() == [("POST", "/things")]


@BOTH
def test_a_door_that_is_closed_means_that_nothing_was_sent(call: Call, kind: type[ProviderError]) -> None:
    del kind
    error = failure(lambda: rest(f"http://127.0.0.1:{closed_port()}").ask(call))
    assert type(error) is Unreachable
    assert error.code == "unreachable"


def test_a_document_comes_with_its_status_and_its_headers_in_lower_case(server: PlainServer) -> None:
    server.says(document({"id": "a"}, 201, X_Code="Fine"))
    reply = rest(server.url).ask(ACT)
    assert (reply.status, reply.document, reply.headers["x-code"]) == (201, {"id": "a"}, "Fine")


def test_money_is_read_without_a_detour_over_binary_fractions(server: PlainServer) -> None:
    server.says(Said(body=b'{"usd": 0.1, "cents": 10}'))
    assert rest(server.url).ask(READ).document == {"usd": Decimal("0.1"), "cents": 10}


def test_an_empty_answer_is_no_document_and_no_error(server: PlainServer) -> None:
    server.says(Said(status=204, body=b""))
    assert rest(server.url).ask(ACT).document is None


def test_key_parameters_and_body_go_out_as_they_were_given(server: PlainServer) -> None:
    cloud = rest(f"{server.url}/api/")
    cloud.ask(READ)
    cloud.ask(ACT)
    read, act = server.heard
    assert (read.path, read.body) == ("/api/things?page=2", b"")
    assert (act.path, act.body) == ("/api/things", b'{"name": "\\u00e9", "size": 1}')
    assert {one.headers["authorization"] for one in server.heard} == {f"Bearer {KEY}"}
    assert act.headers["content-type"] == "application/json"


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503])
def test_a_refusal_is_what_the_clouds_own_table_makes_of_it(server: PlainServer, status: int) -> None:
    server.says(document({"why": "no"}, status, X_Code="own"))
    error = failure(lambda: rest(server.url).ask(READ))
    assert (type(error), str(error), error.code) == (Busy, f"{status} {{'why': 'no'}} to /things", "own")


@pytest.mark.parametrize("status", [403, 404, 429])
def test_a_page_with_a_status_that_says_enough_is_a_refusal_too(server: PlainServer, status: int) -> None:
    server.says(Said(status=status, body=b"<html>go away</html>"))
    error = failure(lambda: rest(server.url).ask(ACT))
    assert (type(error), str(error)) == (Busy, f"{status} None to /things")


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_nobody_is_followed_to_another_address_with_our_key(server: PlainServer, status: int) -> None:
    server.says(Said(status=status, body=b"moved", headers={"Location": f"{server.url}/elsewhere"}))
    failure(lambda: rest(server.url).ask(ACT))
    assert server.asked() == [("POST", "/things")]


@BOTH
def test_a_redirect_without_a_word_is_no_usable_answer(
    server: PlainServer, call: Call, kind: type[ProviderError]
) -> None:
    server.says(Said(status=302, body=b"", headers={"Location": f"{server.url}/elsewhere"}))
    assert type(failure(lambda: rest(server.url).ask(call))) is kind


@pytest.mark.parametrize("address", ["", "nonsense", "ftp://127.0.0.1", "http://[::1"])
def test_an_address_that_is_none_is_a_setting_to_correct(address: str) -> None:
    error = failure(lambda: rest(address).ask(ACT))
    assert (type(error), error.code) == (NotSetUp, "address")


def chain(error: BaseException | None) -> str:
    """All that an error and its causes say."""
    found = ""
    while error is not None:
        found += f"{error!r} {error} {getattr(error, 'fix', '')}\n"
        error = error.__cause__ or error.__context__
    return found


@pytest.mark.parametrize("said", USELESS.values(), ids=USELESS)
def test_no_error_says_the_key_or_what_was_sent(server: PlainServer, said: Said) -> None:
    server.says(said)
    told = chain(failure(lambda: rest(server.url).ask(ACT)))
    assert KEY not in told
    assert "size" not in told


def test_the_error_of_a_closed_door_does_not_say_the_key() -> None:
    assert KEY not in chain(failure(lambda: rest(f"http://127.0.0.1:{closed_port()}").ask(ACT)))


def test_many_threads_share_one_client_and_each_gets_its_own_answer(server: PlainServer) -> None:
    server.script = lambda heard: document({"path": heard.path})
    cloud, found = rest(server.url), set()

    def ask(number: int) -> None:
        found.add(cloud.ask(Call(method="GET", path=f"/{number}")).document["path"])

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert found == {f"/{number}" for number in range(8)}


def test_lines_come_until_the_answer_ends(server: PlainServer) -> None:
    server.says(Said(body=b"one\ntwo\n\nthree"))
    assert list(rest(server.url).lines(READ, 5.0)) == ["one", "two", "", "three"]


def test_lines_end_in_peace_when_nothing_more_comes(server: PlainServer) -> None:
    server.says(Said(body=b"one\n", headers={"Content-Length": "1000"}))
    assert list(rest(server.url).lines(READ, 0.3)) == ["one"]


def test_lines_that_never_end_are_left_when_their_time_is_over(server: PlainServer) -> None:
    server.says(Said(body=b"again\n" * 2_000_000))
    assert len(list(rest(server.url).lines(READ, 0.05))) < 2_000_000


def test_a_refused_stream_is_what_the_clouds_own_table_makes_of_it(server: PlainServer) -> None:
    server.says(document({}, 404))
    assert type(failure(lambda: list(rest(server.url).lines(READ, 5.0)))) is Busy


def test_a_stream_whose_line_is_cut_is_unavailable(server: PlainServer) -> None:
    server.says(Said(body=b"one\ntwo\n", cut=2))
    assert type(failure(lambda: list(rest(server.url).lines(READ, 5.0)))) is Unavailable


def test_a_stream_at_a_path_that_is_none_is_one_of_our_errors_too(server: PlainServer) -> None:
    with pytest.raises(ProviderError):
        list(rest(server.url).lines(Call(method="GET", path="/a\x01b"), 1.0))
