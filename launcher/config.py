"""The user's own settings: `config.yaml`, read once, checked key by key; without a file the defaults hold."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING

from launcher.errors import Exit, LaunchError

if TYPE_CHECKING:  # for start-up time: only with such a key
    from pricing.own_hardware import Hardware

LATER = ("notify",)
"""Keys that have a meaning in the contract and none in this version: refused, because ignoring them would mislead."""
STORE = ("bucket", "prefix", "endpoint_url", "region", "profile", "keep", "wait_seconds")
"""What may stand under `durable_store`."""
HARDWARE = ("name", "price_usd", "watts")
"""What may stand under `hardware`."""


@dataclass(frozen=True, kw_only=True)
class DurableStore:
    """A bucket for checkpoints and results, which outlive machine and laptop there. Credentials are not said here.

    `prefix` ends in "/" where there is one; `endpoint_url` names another service than the protocol's own; `keep`:
    results stay in the bucket also once they are home. `wait_seconds`: how long a machine whose results are durable
    waits for somebody before it ends itself: a line that fell down is up again, a laptop is restarted (assumed).
    """

    bucket: str
    prefix: str = ""
    endpoint_url: str = ""
    region: str = ""
    profile: str = ""
    keep: bool = False
    wait_seconds: int = 120


@dataclass(frozen=True, kw_only=True)
class Config:
    """What `config.yaml` says. Fractions are of the price (0.19 is 19 %), money is US dollars."""

    default_tax_fraction: Decimal = Decimal(0)
    tax_fraction: Mapping[str, Decimal] = field(default_factory=dict)
    default_providers: tuple[str, ...] = ()
    regions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    providers: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    """Each provider's raw settings; the provider checks its own."""
    electricity_usd_per_kwh: Decimal | None = None
    """What a kilowatt-hour costs at home; None: nobody said, and no run at home is priced."""
    exposure_cap_usd: Decimal | None = None
    """The most that all live runs together may still cost at any moment; None: no such limit."""
    private: bool = False
    """Every job's data is private, but for those whose `launch.yaml` says `privacy: public`."""
    hardware: "Hardware | None" = None
    """A card that the user has or thinks of buying, with what it costs; without the price of electricity."""

    durable_store: DurableStore | None = None
    """Where a run's checkpoints and results go besides coming home; None: they only come home."""

    def tax_for(self, provider: str) -> Decimal:
        """The margin to add to every price of `provider`."""
        return self.tax_fraction.get(provider, self.default_tax_fraction)


def home(environ: Mapping[str, str]) -> Path:
    """Our state folder: LAUNCH_HOME, else the platform's folder for user data."""
    said = environ.get("LAUNCH_HOME")
    if said:
        return Path(said).expanduser()
    from platformdirs import user_data_path  # here for start-up time: most runs of the tests and CI name a folder

    return user_data_path("launch", appauthor=False)


def config_path(environ: Mapping[str, str]) -> Path:
    """Where the settings are looked for: LAUNCH_CONFIG, else `config.yaml` in the platform's config folder."""
    said = environ.get("LAUNCH_CONFIG")
    if said:
        return Path(said).expanduser()
    from platformdirs import user_config_path  # here for start-up time, as above

    return user_config_path("launch", appauthor=False) / "config.yaml"


def load_config(environ: Mapping[str, str] = os.environ) -> Config:
    """The settings. Raises `LaunchError` (code "config") with file and line where something is wrong."""
    path = config_path(environ)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return _without_file(environ, path)
    except (OSError, UnicodeDecodeError) as error:
        raise _wrong(path, None, f"cannot be read: {error}", "check the file's permissions and encoding") from error
    return _Reader(path).config(_parsed(path, text))


def _without_file(environ: Mapping[str, str], path: Path) -> Config:
    if environ.get("LAUNCH_CONFIG"):
        raise _wrong(
            path, None, "does not exist, though LAUNCH_CONFIG names it", "unset LAUNCH_CONFIG, or make the file"
        )
    return Config()


def _parsed(path: Path, text: str) -> object:
    from ruamel.yaml import YAML  # here for start-up time: only with a file there is something to parse
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        return YAML(typ="rt").load(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise _wrong(path, line, f"is not valid YAML: {error.problem}", "mind indentation and colons") from error
    except YAMLError as error:
        raise _wrong(path, None, f"is not valid YAML: {error}", "mind indentation and colons") from error


def _wrong(path: Path, line: int | None, what: str, hint: str) -> LaunchError:
    place = f"{path}:{line}" if line else str(path)
    return LaunchError(f"{place}: {what}", code="config", exit_code=Exit.USAGE, hint=hint)


def _line(parent: object, key: object) -> int | None:
    marks = getattr(parent, "lc", None)
    at = marks.data.get(key) if marks is not None and marks.data else None
    return at[0] + 1 if at else None


class _Reader:
    """Turns the parsed file into a `Config`, naming file and line of whatever does not belong."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._keys = {
            "tax": self._tax,
            "default_providers": self._default_providers,
            "regions": self._regions,
            "providers": self._providers,
            "private": self._private,
            "electricity_usd_per_kwh": self._amount,
            "exposure_cap_usd": self._amount,
            "hardware": self._hardware,
            "durable_store": self._durable_store,
        }

    def config(self, parsed: object) -> Config:
        if parsed is None:
            return Config()
        top = self._mapping(parsed, {}, "the file")
        fields: dict[str, object] = {}
        for key in top:
            fields |= self._read(key, top)
        return Config(**fields)  # type: ignore[arg-type]  # each reader below returns the field's own type

    def _read(self, key: str, top: Mapping[str, object]) -> dict[str, object]:
        if key in self._keys:
            return self._keys[key](top, key)
        if key in LATER:
            what = f"`{key}` is not supported by this version; it would be ignored, so it is refused"
            raise self._bad(top, key, what, f"remove `{key}` from {self._path}")
        from difflib import get_close_matches  # here for start-up time: only for a wrong key

        near = get_close_matches(key, [*self._keys], n=1)
        known = f"did you mean `{near[0]}`?" if near else f"known keys: {', '.join(self._keys)}"
        raise self._bad(top, key, f"unknown key `{key}`", known)

    def _bad(self, parent: object, key: object, what: str, hint: str) -> LaunchError:
        return _wrong(self._path, _line(parent, key), what, hint)

    def _mapping(self, value: object, parent: object, key: str) -> Mapping[str, object]:
        if isinstance(value, Mapping) and all(isinstance(one, str) for one in value):
            return value
        raise self._bad(
            parent, key, f"`{key}` must be a mapping of names to values", "write `name: value` lines below it"
        )

    def _money(self, parent: Mapping[str, object], key: str) -> Decimal:
        value = parent[key]
        try:
            # By way of text, so that 0.19 is nineteen hundredths and not the nearest binary fraction.
            number = Decimal(str(value))
        except InvalidOperation:
            number = Decimal("NaN")
        if isinstance(value, bool) or not number.is_finite() or number < 0:
            raise self._bad(
                parent, key, f"`{key}` must be a number of at least 0, not {value!r}", f"write `{key}: 0.19`"
            )
        return number

    def _names(self, parent: Mapping[str, object], key: str) -> tuple[str, ...]:
        value = parent[key]
        if isinstance(value, Sequence) and not isinstance(value, str) and all(isinstance(one, str) for one in value):
            return tuple(str(one) for one in value)
        raise self._bad(parent, key, f"`{key}` must be a list of names, not {value!r}", f"write `{key}: [one, two]`")

    def _tax(self, top: Mapping[str, object], key: str) -> dict[str, object]:
        rates = self._mapping(top[key], top, key)
        by_name = {name: self._fraction(rates, name) for name in rates}
        default = by_name.pop("default", Decimal(0))
        return {"default_tax_fraction": default, "tax_fraction": by_name}

    def _private(self, top: Mapping[str, object], key: str) -> dict[str, object]:
        if not isinstance(top[key], bool):
            raise self._bad(top, key, f"`{key}` must be true or false, not {top[key]!r}", f"write `{key}: true`")
        return {key: top[key]}

    def _amount(self, top: Mapping[str, object], key: str) -> dict[str, object]:
        return {key: self._money(top, key)}

    def _hardware(self, top: Mapping[str, object], key: str) -> dict[str, object]:
        """`{name: rtx4090, price_usd: 1800, watts: 520}`; the last two may be left out."""
        from pricing import gpus  # here for start-up time: only with such a key
        from pricing.own_hardware import Hardware

        told = self._mapping(top[key], top, key)
        for unknown in [one for one in told if one not in HARDWARE]:
            raise self._bad(told, unknown, f"unknown key `hardware.{unknown}`", f"known keys: {', '.join(HARDWARE)}")
        try:
            (gpu,) = gpus.match(str(told.get("name") or ""))
        except (gpus.UnknownGpu, ValueError) as error:
            near = ", ".join(getattr(error, "nearest", ())) or "rtx4090, a100-80gb"
            what = f"`hardware.name` must be one card, not {told.get('name')!r}"
            raise self._bad(top, key, what, f"write one card's name in full, e.g. {near}") from error
        watts = self._money(told, "watts") if "watts" in told else None
        if watts == 0:
            raise self._bad(told, "watts", "`watts` must be above 0", "leave it out where you do not know it")
        return {
            key: Hardware(
                gpu=gpu,
                price_usd=self._money(told, "price_usd") if "price_usd" in told else None,
                watts=None if watts is None else float(watts),
            )
        }

    def _durable_store(self, top: Mapping[str, object], key: str) -> dict[str, object]:
        """`{bucket: mine, prefix: launch/, endpoint_url: https://..., region: eu-1, profile: work, keep: true}`."""
        told = self._mapping(top[key], top, key)
        for unknown in [one for one in told if one not in STORE]:
            raise self._bad(told, unknown, f"unknown key `{key}.{unknown}`", f"known keys: {', '.join(STORE)}")
        keep = told.get("keep", False)
        if not isinstance(keep, bool):
            raise self._bad(told, "keep", f"`keep` must be true or false, not {keep!r}", "write `keep: true`")
        wait = told.get("wait_seconds", DurableStore.wait_seconds)
        if isinstance(wait, bool) or not isinstance(wait, int) or not 0 <= wait <= 86_400:
            what = f"`wait_seconds` must be a whole number from 0 to 86400, not {wait!r}"
            raise self._bad(told, "wait_seconds", what, "write `wait_seconds: 120`")
        words = {name: self._word(told, name) for name in STORE[:5] if name in told}
        if not words.get("bucket"):
            raise self._bad(top, key, f"`{key}` needs a bucket", "write `bucket: NAME` below it")
        address = words.get("endpoint_url", "")
        if address and not address.startswith(("https://", "http://")):
            what = f"`endpoint_url` must be an address, not {address!r}"
            raise self._bad(told, "endpoint_url", what, "write `endpoint_url: https://...`")
        prefix = words.pop("prefix", "").strip("/")
        return {key: DurableStore(**words, prefix=f"{prefix}/" if prefix else "", keep=keep, wait_seconds=wait)}

    def _word(self, told: Mapping[str, object], name: str) -> str:
        value = told[name]
        if isinstance(value, str) and value.isprintable() and len(value) <= 1024:
            return value.strip()
        raise self._bad(told, name, f"`{name}` must be a text, not {value!r}", f"write `{name}: ...`")

    def _fraction(self, rates: Mapping[str, object], name: str) -> Decimal:
        fraction = self._money(rates, name)
        if fraction >= 1:
            what = f"tax `{name}: {fraction}` is a fraction and must be below 1"
            raise self._bad(rates, name, what, f"write 19 % as `{name}: 0.19`")
        return fraction

    def _default_providers(self, top: Mapping[str, object], key: str) -> dict[str, object]:
        return {key: self._names(top, key)}

    def _regions(self, top: Mapping[str, object], key: str) -> dict[str, object]:
        places = self._mapping(top[key], top, key)
        return {key: {name: self._names(places, name) for name in places}}

    def _providers(self, top: Mapping[str, object], key: str) -> dict[str, object]:
        sections = self._mapping(top[key], top, key)
        return {key: {name: dict(self._mapping(sections[name], sections, name)) for name in sections}}
