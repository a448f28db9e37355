"""One table from AWS's error codes to our errors; nothing of botocore passes beyond it."""

import re
from collections.abc import Iterator, Mapping

from providers.base import (
    Ambiguous,
    AuthFailed,
    Busy,
    ContractBroken,
    NoCapacity,
    NoCredentials,
    NotFound,
    NotSetUp,
    PriceTooLow,
    ProviderError,
    QuotaExceeded,
    Throttled,
    Unavailable,
)

SERVER_ERROR = 500
LONGEST_TEXT = 400


class Duplicate(ContractBroken):
    """It exists already; caught where that is welcome."""


KEYS_FIX = "`aws sts get-caller-identity` must work: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
RIGHTS_FIX = "allow the action in the user's IAM policy (`launch doctor --iam-policy` prints all that launch needs)"
DENIED = ("UnauthorizedOperation", "AccessDenied", "AccessDeniedException")
CLOCK_FIX = "set this computer's clock (AWS refuses requests that are more than 5 minutes off)"
ACCOUNT_FIX = "finish setting up the account or the region in the AWS console"
VPC_FIX = "`aws ec2 create-default-vpc --region REGION`, or name your own under providers.aws.vpc or .subnet"
IMAGE_FIX = "name an image that exists under providers.aws.image in config.yaml"
ROLE_FIX = "allow iam:CreateServiceLinkedRole for spot.amazonaws.com, or `--on-demand`"
PROTECTION_FIX = "switch termination protection off for this machine in the AWS console"
QUOTA_FIX = "ask for more in the Service Quotas console"

Row = tuple[type[ProviderError], str]


def _same(kind: type[ProviderError], codes: str, fix: str = "") -> Iterator[tuple[str, Row]]:
    return ((code, (kind, fix)) for code in codes.split())


TABLE: Mapping[str, Row] = dict(
    [
        # A place without such a machine now, or (the last two) that never has one for us: another place may.
        *_same(NoCapacity, "InsufficientInstanceCapacity InsufficientCapacity UnfulfillableCapacity"),
        *_same(NoCapacity, "ReservationCapacityExceeded InsufficientHostCapacity"),
        *_same(NoCapacity, "Unsupported InsufficientFreeAddressesInSubnet"),
        *_same(PriceTooLow, "SpotMaxPriceTooLow", "a higher `--max-price`, or `--on-demand`"),
        *_same(QuotaExceeded, "MaxSpotInstanceCountExceeded VcpuLimitExceeded InstanceLimitExceeded", QUOTA_FIX),
        *_same(QuotaExceeded, "MaxFleetCountExceeded VolumeLimitExceeded SecurityGroupLimitExceeded", QUOTA_FIX),
        *_same(Throttled, "RequestLimitExceeded Throttling ThrottlingException ThrottledException"),
        *_same(Throttled, "EC2ThrottledException TooManyRequestsException RequestThrottled RequestThrottledException"),
        # The answer says nothing about what was done: Ambiguous for a change, Unavailable for a read (see `typed`).
        *_same(Ambiguous, "InternalError InternalFailure Unavailable ServiceUnavailable RequestTimeout"),
        *_same(ContractBroken, "IdempotentParameterMismatch MissingParameter"),
        *_same(ContractBroken, "InvalidInstanceID.Malformed InvalidUserData.Malformed UnsupportedOperation"),
        *_same(ContractBroken, "InvalidParameterValue InvalidParameterCombination"),
        *_same(AuthFailed, "UnauthorizedOperation AccessDenied AccessDeniedException", RIGHTS_FIX),
        *_same(AuthFailed, "AuthFailure InvalidClientTokenId UnrecognizedClientException", KEYS_FIX),
        *_same(AuthFailed, "SignatureDoesNotMatch InvalidSignatureException IncompleteSignature", KEYS_FIX),
        *_same(AuthFailed, "ExpiredToken ExpiredTokenException MissingAuthenticationToken", KEYS_FIX),
        *_same(AuthFailed, "RequestExpired RequestInTheFuture", CLOCK_FIX),
        *_same(AuthFailed, "AuthFailure.ServiceLinkedRoleCreationNotPermitted", ROLE_FIX),
        *_same(NotSetUp, "OptInRequired PendingVerification Blocked", ACCOUNT_FIX),
        *_same(NotSetUp, "VPCIdNotSpecified DefaultVpcDoesNotExist InvalidVpcID.NotFound", VPC_FIX),
        *_same(NotSetUp, "InvalidSubnetID.NotFound", VPC_FIX),
        *_same(NotSetUp, "InvalidAMIID.NotFound InvalidAMIID.Unavailable InvalidAMIID.Malformed", IMAGE_FIX),
        *_same(NotSetUp, "OperationNotPermitted", PROTECTION_FIX),
        *_same(NotFound, "InvalidInstanceID.NotFound InvalidVolume.NotFound InvalidNetworkInterfaceID.NotFound"),
        *_same(NotFound, "InvalidGroup.NotFound InvalidGroupId.NotFound InvalidKeyPair.NotFound"),
        *_same(NotFound, "ParameterNotFound NoSuchResourceException"),
        *_same(Duplicate, "InvalidKeyPair.Duplicate InvalidGroup.Duplicate InvalidPermission.Duplicate"),
        *_same(Busy, "DependencyViolation VolumeInUse InvalidNetworkInterface.InUse InvalidGroup.InUse IncorrectState"),
    ]
)
"""Every code that is known to come, with what a person can do about it."""

WORDS: Mapping[str, str] = {
    "AuthFailure": "AWS does not accept these credentials",
    "InvalidClientTokenId": "AWS does not know this access key",
    "UnrecognizedClientException": "AWS does not know this access key",
    "SignatureDoesNotMatch": "the secret access key does not belong to the access key",
    "InvalidSignatureException": "the secret access key does not belong to the access key",
    "IncompleteSignature": "the request's signature is incomplete",
    "MissingAuthenticationToken": "no credentials reached AWS",
    "ExpiredToken": "the session token has expired",
    "ExpiredTokenException": "the session token has expired",
    "RequestExpired": "this computer's clock differs too much from AWS's",
}
"""Own words where AWS's text may quote the signed request, and with it a session token."""

CREDENTIALS: tuple[str, ...] = (
    "NoCredentials",
    "PartialCredentials",
    "CredentialRetrieval",
    "ProfileNotFound",
    "ConfigNotFound",
)
CREDENTIALS += ("ConfigParse", "SSO", "UnauthorizedSSO", "TokenRetrieval", "NoAuthToken", "Login", "InvalidConfig")
"""How the names of botocore's errors about finding credentials begin."""
OURS = ("ParamValidation", "UnknownParameter", "MissingParameters", "Validation", "RangeError")
"""How botocore's errors about our own parameters begin; nothing was sent."""


def typed(error: Exception, *, acts: bool, service: str = "") -> ProviderError:
    """Our error for one of botocore's; `acts` when the call changes something (create, terminate, remove)."""
    answer = getattr(error, "response", None)
    if isinstance(answer, Mapping) and "Error" in answer:
        code, message = str(answer["Error"].get("Code", "")), str(answer["Error"].get("Message", ""))
        if code in DENIED:
            message = _denied(message, f"{service.replace('-', '')}:{getattr(error, 'operation_name', '')}")
        return from_code(
            code,
            message,
            int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", SERVER_ERROR)),
            acts=acts,
        )
    name = type(error).__name__
    if name.startswith(CREDENTIALS):
        kind = NoCredentials if name.startswith("NoCredentials") else AuthFailed
        return kind(f"no usable AWS credentials: {_short(str(error))}", code=name, fix=KEYS_FIX)
    if name.startswith(OURS):
        return ContractBroken(f"a request that AWS's own client refuses: {_short(str(error))}", code=name)
    if name == "NoRegionError":
        return NotSetUp("no AWS region is configured", code=name, fix="set AWS_REGION or providers.aws.regions")
    return no_answer(f"no usable answer from AWS: {_short(str(error))}", name, acts=acts)


def from_code(code: str, message: str, status: int, *, acts: bool) -> ProviderError:
    """Our error for a code of AWS; an unknown one counts as unclear on a server error, else as a broken contract."""
    text = WORDS.get(code) or _short(message) or f"AWS answered {code}"
    if code not in TABLE and status >= SERVER_ERROR:
        return no_answer(f"AWS had a problem of its own: {text}", code, acts=acts)
    kind, fix = TABLE.get(code, (ContractBroken, ""))
    if kind is Ambiguous:
        return no_answer(text, code, acts=acts)
    if kind is ContractBroken and code not in TABLE:
        text = f"AWS answered {code or status}, which launch does not know: {text}"
    return kind(text, code=code, fix=fix)


def no_answer(text: str, code: str, *, acts: bool) -> ProviderError:
    """What "we do not know" is called: it depends on whether the call may have changed something."""
    return Ambiguous(text, code=code) if acts else Unavailable(text, code=code)


def _denied(message: str, operation: str) -> str:
    """Which action is missing, in AWS's own name for it, without the long code that only an administrator can read."""
    named = re.search(r"perform:? ([a-z0-9-]+:\w+)", message)
    why = message.partition("Encoded authorization failure")[0]
    return f"{named[1] if named else operation} is not allowed: {why}"


def _short(text: str) -> str:
    return " ".join(text.partition("The Canonical String")[0].split())[:LONGEST_TEXT]
