"""How AWS is called: by the user's own profile, with one attempt for what changes anything, and typed errors."""

import os
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from providers import aws_credentials
from providers.aws_errors import KEYS_FIX, no_answer, typed
from providers.base import NoCredentials, NotSetUp, ProviderError

Answer = Mapping[str, Any]
"""What AWS said, as boto3 parsed it; it is turned into our values right where it arrives."""
MOST_PAGES = 200


class Calls:
    """The one way to AWS. boto3 is imported at the first call: start-up time, and `launch ps` never needs it."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._clients: dict[tuple[str, str, bool], Any] = {}
        self._session: Any = None
        self._lock = threading.Lock()  # a boto3 session must not make two clients at once

    def read(self, service: str, operation: str, region: str, **parameters: Any) -> Answer:
        """A call that changes nothing; `Unavailable` when it gets no usable answer."""
        return self._call(service, operation, region, False, parameters)

    def act(self, service: str, operation: str, region: str, **parameters: Any) -> Answer:
        """A call that changes something, sent exactly once; `Ambiguous` when it gets no usable answer."""
        return self._call(service, operation, region, True, parameters)

    def items(self, operation: str, region: str, key: str, **parameters: Any) -> Iterator[Answer]:
        """All entries under `key` of an EC2 listing, page by page."""
        token = ""
        for _ in range(MOST_PAGES):
            paging = {"NextToken": token} if token else {}
            answer = self.read("ec2", operation, region, **parameters, **paging)
            yield from required(answer, key)
            token = answer.get("NextToken") or ""  # an empty text is the end, as is its absence
            if not token:
                return
        raise no_answer(f"{operation} does not end after {MOST_PAGES} pages", "endless", acts=False)

    def profile_region(self) -> str:
        """The region of the user's AWS profile; empty where there is none."""
        self._check_credentials()
        with self._lock:
            return self._opened().region_name or ""

    def _check_credentials(self) -> None:
        """Whoever has none learns it at once, without the SDK and without a search on the network."""
        if self._session is None and not aws_credentials.can_be({**os.environ, **self._environ}):
            raise NoCredentials(
                "no usable AWS credentials: none in the environment or in ~/.aws", code="no-key", fix=KEYS_FIX
            )

    def _call(self, service: str, operation: str, region: str, acts: bool, parameters: Mapping[str, Any]) -> Answer:
        self._check_credentials()
        from botocore.exceptions import BotoCoreError, ClientError  # start-up time, as above
        from botocore.parsers import ResponseParserError  # stands outside botocore's own family of errors

        try:
            answer: Answer = getattr(self._client(service, region, acts), operation)(**parameters)
        except (BotoCoreError, ClientError, ResponseParserError) as error:
            raise typed(error, acts=acts, service=service) from error
        return answer

    def _client(self, service: str, region: str, acts: bool) -> Any:
        with self._lock:
            if (service, region, acts) not in self._clients:
                self._clients[service, region, acts] = self._connected(service, region, acts)
            return self._clients[service, region, acts]

    def _connected(self, service: str, region: str, acts: bool) -> Any:
        from botocore.config import Config  # start-up time, as above

        # boto repeats a refused or unanswered create by itself, lack of capacity included: never with one attempt.
        config = Config(
            connect_timeout=10 if acts else 5,
            read_timeout=30 if acts else 15,
            retries={"total_max_attempts": 1 if acts else 2, "mode": "standard"},
            max_pool_connections=16,
            user_agent_extra="gpu-launch",
        )
        try:
            return self._opened().client(
                service, region_name=region, endpoint_url=self._endpoint(service), config=config
            )
        except ValueError as error:
            raise NotSetUp(f"AWS cannot be reached: {error}", code="endpoint", fix="check AWS_ENDPOINT_URL") from error

    def _endpoint(self, service: str) -> str | None:
        own = f"AWS_ENDPOINT_URL_{service.upper().replace('-', '_')}"
        return self._environ.get(own) or self._environ.get("AWS_ENDPOINT_URL") or None

    def _opened(self) -> Any:
        import boto3  # start-up time, as above
        from botocore.exceptions import BotoCoreError

        if self._session is None:
            try:
                self._session = boto3.Session(**_credentials(self._environ))
            except BotoCoreError as error:
                raise typed(error, acts=False) from error
        return self._session


def _credentials(environ: Mapping[str, str]) -> dict[str, Any]:
    """What is handed in counts, weighed as boto itself does it: keys of the environment, then the named profile."""
    if not environ.get("AWS_ACCESS_KEY_ID"):
        return {"profile_name": environ.get("AWS_PROFILE") or None}
    return {
        "aws_access_key_id": environ["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": environ.get("AWS_SECRET_ACCESS_KEY"),
        "aws_session_token": environ.get("AWS_SESSION_TOKEN"),
    }


def required(answer: Answer, key: str, *, acts: bool = False) -> Any:
    """The part that a whole answer has; a gap in an answer must never be read as "nothing there"."""
    if key not in answer:
        raise no_answer(f"an answer of AWS lacks {key}", "incomplete", acts=acts)
    return answer[key]


def tried(calls: Calls, service: str, operation: str, region: str, **parameters: Any) -> Answer | None:
    """A read that may be forbidden or unanswered: then None, and the caller has another way."""
    try:
        return calls.read(service, operation, region, **parameters)
    except ProviderError:
        return None
