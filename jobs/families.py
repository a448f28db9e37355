"""How decoder families are built: the matrices, biases and norms that a config.json of each type stands for.

Counted from the modelling code of transformers 5.23, and compared with it parameter for parameter in
tests/jobs/test_families.py.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from jobs.config_values import ConfigValues
from jobs.matrices import Kind, Matrix, linear

NEVER, ALWAYS = "", "always"
"""Whether there is a bias; any other word is the key of config.json that says so."""


@dataclass(frozen=True, kw_only=True)
class Heads:
    """Attention heads: of queries, of keys and values, and their width."""

    queries: int
    keys: int
    width: int


Build = Callable[["Family", ConfigValues, Heads], list[Matrix]]


@dataclass(frozen=True, kw_only=True)
class Family:
    """What the configs of one `model_type` have in common.

    `norms`: vectors as wide as the model in one layer (a LayerNorm's weight and bias are two); `final_norms`: the same
    after the last layer. `query_norms`: normed queries and keys, by head or over all heads. `bias_of_*`: NEVER, ALWAYS
    or a key. `names`: of attention's output and a plain MLP's two matrices. `defaults`: of transformers' class.
    """

    attention: Build
    mlp: Build
    norms: int = 2
    final_norms: int = 1
    query_norms: str = ""
    bias_of_qkv: str = NEVER
    bias_of_output: str = NEVER
    bias_of_mlp: str = NEVER
    head_bias: bool = False
    grouped: bool = True
    """Keys and values may have fewer heads than queries."""
    scalars: int = 0
    """Learned numbers of a layer's activation (Apertus' xIELU has two)."""
    sinks: bool = False
    """One learned number per head in each layer (gpt-oss)."""
    names: tuple[str, str, str] = ("o_proj", "up_proj", "down_proj")
    expert_names: tuple[str, str, str] = ("gate_proj", "up_proj", "down_proj")
    """What peft calls an expert's gate, up and down matrices; empty: it puts no adapters on experts of this type."""
    refused: str = ""
    """Why our job cannot train it, although it can be counted."""
    defaults: Mapping[str, object] = field(default_factory=dict)

    def matrices(self, config: ConfigValues, heads: Heads) -> tuple[Matrix, ...]:
        """All matrices of all layers."""
        return tuple(self.attention(self, config, heads) + self.mlp(self, config, heads))

    def vectors(self, config: ConfigValues, heads: Heads) -> int:
        """Norms, sinks and the head's bias: all parameters that are in no matrix of a layer and no embedding."""
        hidden = config.size("hidden_size")
        in_layer = self.norms * hidden + self._query_norms(config, heads) + self.scalars + heads.queries * self.sinks
        at_end = self.final_norms * hidden + config.size("vocab_size") * self.head_bias
        return config.size("num_hidden_layers") * in_layer + at_end

    def _query_norms(self, config: ConfigValues, heads: Heads) -> int:
        by_head = 2 * heads.width
        latent = config.count("kv_lora_rank", default=0) + config.count("q_lora_rank", default=0)
        over_all = (heads.queries + heads.keys) * heads.width
        layernorm = 2 * by_head if config.flag("qk_layernorm") else 0
        return {"head": by_head, "all": over_all, "latent": latent, "phi": layernorm}.get(self.query_norms, 0)


def has_bias(config: ConfigValues, word: str) -> bool:
    """Whether `word` of a family means a bias in this config."""
    return word == ALWAYS or (word != NEVER and config.flag(word))


def separate(family: Family, config: ConfigValues, heads: Heads) -> list[Matrix]:
    """Queries, keys, values and output in matrices of their own."""
    hidden, layers = config.size("hidden_size"), config.size("num_hidden_layers")
    inner, shared = heads.queries * heads.width, heads.keys * heads.width
    biased = has_bias(config, family.bias_of_qkv)
    output = linear(family.names[0], (inner, hidden), layers, biased=has_bias(config, family.bias_of_output))
    wide = {"q_proj": inner, "k_proj": shared, "v_proj": shared}
    return [*(linear(name, (hidden, out), layers, biased=biased) for name, out in wide.items()), output]


def joined(name: str) -> Build:
    """Queries, keys and values in one matrix called `name`."""

    def build(family: Family, config: ConfigValues, heads: Heads) -> list[Matrix]:
        hidden, layers = config.size("hidden_size"), config.size("num_hidden_layers")
        inner = heads.queries * heads.width
        return [
            linear(
                name,
                (hidden, inner + 2 * heads.keys * heads.width),
                layers,
                biased=has_bias(config, family.bias_of_qkv),
            ),
            linear(family.names[0], (inner, hidden), layers, biased=has_bias(config, family.bias_of_output)),
        ]

    return build


def latent(family: Family, config: ConfigValues, heads: Heads) -> list[Matrix]:
    """DeepSeek's: keys and values (and queries, where `q_lora_rank` is said) go through a narrow vector."""
    hidden, layers = config.size("hidden_size"), config.size("num_hidden_layers")
    rope, plain, value = (config.size(key) for key in ("qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim"))
    narrow, queries = config.size("kv_lora_rank"), heads.queries * (rope + plain)
    biased = has_bias(config, family.bias_of_qkv)
    if config.has("q_lora_rank"):
        rank = config.size("q_lora_rank")
        asked = [
            linear("q_a_proj", (hidden, rank), layers, biased=biased),
            linear("q_b_proj", (rank, queries), layers),
        ]
    else:
        asked = [linear("q_proj", (hidden, queries), layers)]
    return [
        *asked,
        linear("kv_a_proj_with_mqa", (hidden, narrow + rope), layers, biased=biased),
        linear("kv_b_proj", (narrow, heads.queries * (plain + value)), layers),
        linear("o_proj", (heads.queries * value, hidden), layers, biased=biased),
    ]


def gated(family: Family, config: ConfigValues, _heads: Heads) -> list[Matrix]:
    """Gate, up and down."""
    sizes = (config.size("hidden_size"), config.size("intermediate_size"))
    return _gated(sizes, config.size("num_hidden_layers"), biased=has_bias(config, family.bias_of_mlp))


def _gated(sizes: tuple[int, int], copies: int, *, biased: bool = False, adaptable: bool = True) -> list[Matrix]:
    hidden, inner = sizes
    shapes = {"gate_proj": (hidden, inner), "up_proj": (hidden, inner), "down_proj": (inner, hidden)}
    return [linear(name, size, copies, biased=biased, adaptable=adaptable) for name, size in shapes.items()]


def fused_gated(family: Family, config: ConfigValues, _heads: Heads) -> list[Matrix]:
    """Gate and up in one matrix."""
    hidden, inner = config.size("hidden_size"), config.size("intermediate_size")
    layers = config.size("num_hidden_layers")
    return [linear("gate_up_proj", (hidden, 2 * inner), layers), linear("down_proj", (inner, hidden), layers)]


def plain(family: Family, config: ConfigValues, _heads: Heads) -> list[Matrix]:
    """Two matrices without a gate."""
    hidden, inner = config.size("hidden_size"), config.size("intermediate_size")
    layers, biased = config.size("num_hidden_layers"), has_bias(config, family.bias_of_mlp)
    _, first, second = family.names
    return [
        linear(first, (hidden, inner), layers, biased=biased),
        linear(second, (inner, hidden), layers, biased=biased),
    ]


def mixture(family: Family, config: ConfigValues, _heads: Heads) -> list[Matrix]:
    """A router and experts in the sparse layers, with shared experts where there are any; the others are gated.

    peft maps an expert's names to the fused tensors, and then adapts no linear layer of the same name any more.
    """
    hidden, layers = config.size("hidden_size"), config.size("num_hidden_layers")
    sparse = len(sparse_layers(config))
    adaptable = not any(family.expert_names)
    biased = has_bias(config, family.bias_of_mlp)
    dense = _gated((hidden, config.size("intermediate_size")), layers - sparse, biased=biased, adaptable=adaptable)
    shared = shared_width(config)
    always = _gated((hidden, shared), sparse, biased=biased, adaptable=adaptable) if shared else []
    if shared and config.has("shared_expert_intermediate_size"):
        always.append(linear("shared_expert_gate", (hidden, 1), sparse))
    kept = dense if layers > sparse else []
    return kept + always + _experts(family, config, sparse)


def _experts(family: Family, config: ConfigValues, sparse: int) -> list[Matrix]:
    hidden, inner, experts = config.size("hidden_size"), expert_width(config), config.size(*EXPERTS)
    gate, up, down = family.expert_names
    of_up, of_down = ((gate, up), (down,)) if gate else ((), ())
    passed, biased = sparse * min(config.size("num_experts_per_tok"), experts), family.sinks

    def stack(name: str, size: tuple[int, int], targets: tuple[str, ...]) -> Matrix:
        return Matrix(
            name=name, inputs=size[0], outputs=size[1], copies=sparse * experts, active=passed, targets=targets,
            is_biased=biased, kind=Kind.EXPERTS,
        )  # fmt: skip

    router = Matrix(
        name="gate", inputs=hidden, outputs=experts, copies=sparse, active=sparse, targets=("gate",) if gate else (),
        is_biased=biased, kind=Kind.ROUTER,
    )  # fmt: skip
    return [
        stack("experts.gate_up_proj", (hidden, 2 * inner), of_up),
        stack("experts.down_proj", (inner, hidden), of_down),
        router,
    ]


EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")


def sparse_layers(config: ConfigValues) -> tuple[int, ...]:
    """Which layers hold experts: Qwen's step and list, DeepSeek's first dense ones; else all."""
    step, dense = config.size("decoder_sparse_step", default=1), config.numbers("mlp_only_layers")
    first = config.count("first_k_dense_replace", default=0)
    layers = range(config.size("num_hidden_layers"))
    return tuple(layer for layer in layers if layer >= first and layer not in dense and (layer + 1) % step == 0)


def expert_width(config: ConfigValues) -> int:
    """The inner width of one expert."""
    return config.size("moe_intermediate_size", "intermediate_size")


def shared_width(config: ConfigValues) -> int:
    """The inner width of all that is shared; 0 where nothing is."""
    if config.has("shared_expert_intermediate_size"):
        return config.size("shared_expert_intermediate_size")
    return config.count("n_shared_experts", default=0) * expert_width(config) if config.has("n_shared_experts") else 0


def passed_width(family: Family, config: ConfigValues) -> int:
    """The inner width that one token passes through in a layer: of its experts and the shared ones together."""
    if family.mlp is not mixture:
        return config.size("intermediate_size")
    return config.size("num_experts_per_tok") * expert_width(config) + shared_width(config)
