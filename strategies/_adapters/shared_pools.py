"""Low-rank adapters whose factors are put together from pools of pieces that layers of one kind share.

The construction is that of MoS (Wang et al. 2025, arXiv 2410.00938): a layer's A and B are rows of pools, chosen by
tables that are drawn once and never trained.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from clbench.core.errors import ConfigError
from clbench.strategies._adapters.initial_factors import Factors, linear
from clbench.strategies._adapters.low_rank import Arithmetic


@dataclass(frozen=True)
class PoolShape:
    """Sizes of pools and tables.

    Attributes:
        rank: r, rank of each layer's update.
        pool_rank: e; a kind of L layers has as many trained values as L adapters of rank e.
        private_rank: p, ranks that each layer has for itself.
        pieces: n, pieces that a vector is put together from.
    """

    rank: int
    pool_rank: int
    private_rank: int
    pieces: int

    def check(self, kind: str, layers: int, sizes: Sequence[int]) -> None:
        """Refuse a kind of layers that the sizes do not fit.

        Args:
            kind: Name of the kind, for messages.
            layers: L, number of its layers.
            sizes: Widths of its inputs and outputs.

        Raises:
            ConfigError: When shared pieces do not suffice for drawing without replacement, or a width is not divisible.
        """
        wanted, there = self.rank - self.private_rank, (self.pool_rank - self.private_rank) * layers
        if wanted > there:
            raise ConfigError(
                f"adapters: {kind}: a layer takes rank - private_rank = {wanted} shared vectors, wanted at most"
                f" (pool_rank - private_rank) * layers = {there}"
            )
        for size in sizes:
            if size % self.pieces:
                raise ConfigError(f"adapters: {kind}: width {size} is not divisible into pieces = {self.pieces}")

    def tables(self, layers: int, generator: torch.Generator) -> Tensor:
        """Rows of a pool that each layer takes.

        Args:
            layers: L, number of layers.
            generator: Source of randomness, on the CPU.

        Returns:
            `(layers, rank * pieces)` int64: (r - p) n rows of the (e - p) L n shared ones, drawn without replacement
            within a layer, then the layer's own p n rows. `pieces` entries in a row make one vector.
        """
        shared = (self.pool_rank - self.private_rank) * layers * self.pieces
        drawn, own = (self.rank - self.private_rank) * self.pieces, self.private_rank * self.pieces
        common = torch.stack([torch.randperm(shared, generator=generator)[:drawn] for _ in range(layers)])
        private = shared + torch.arange(layers * own).reshape(layers, own)
        return torch.cat([common, private], dim=1)


class Pools(nn.Module):
    """The pools of one kind of layers, and the tables of its layers.

    Args:
        layers: The layers, all of one size.
        shape: Sizes of pools and tables; see `PoolShape.check`.
        generator: Source of the tables, for A and then for B.
        values: Source of the values: A is Kaiming-uniform with a = sqrt(5) and fan-in `in`, B is zero.

    Attributes:
        a: Pool of A, `(e L n, in / n)`.
        b: Pool of B, `(e L n, out / n)`.
    """

    def __init__(
        self, layers: Sequence[nn.Linear], shape: PoolShape, generator: torch.Generator, values: torch.Generator
    ) -> None:
        super().__init__()
        weight = layers[0].weight
        rows, (width_out, width_in) = shape.pool_rank * len(layers) * shape.pieces, weight.shape
        dtype = torch.promote_types(weight.dtype, torch.float32)
        a = torch.empty(rows, width_in // shape.pieces).uniform_(-1, 1, generator=values) / math.sqrt(width_in)
        self.a = nn.Parameter(a.to(weight.device, dtype))
        self.b = nn.Parameter(torch.zeros(rows, width_out // shape.pieces, device=weight.device, dtype=dtype))
        self._rank = shape.rank
        self._tables = [shape.tables(len(layers), generator).to(weight.device) for _ in range(2)]

    def factors(self, layer: int) -> Factors:
        """A `(rank, in)` and B `(out, rank)` of one layer, by number, with gradients to the pools."""
        a, b = (
            pool[table[layer]].reshape(self._rank, -1)
            for pool, table in zip((self.a, self.b), self._tables, strict=True)
        )
        return Factors(cast(nn.Parameter, a), cast(nn.Parameter, b.T))  # they are not leaves, and only read


def pools_of(
    module: nn.Module, kinds: Mapping[str, Sequence[str]], shape: PoolShape, draws: tuple[torch.Generator, ...]
) -> dict[str, Pools]:
    """Pools for kinds of layers, by the name of a kind.

    Args:
        module: The module that holds the layers.
        kinds: Names of the layers of each kind, which have one size.
        shape: Sizes of pools and tables.
        draws: Sources of the tables and of the values.

    Raises:
        ConfigError: For a kind that the sizes do not fit.
    """
    found = {}
    for kind, names in kinds.items():
        layers = [linear(module, name) for name in names]
        shape.check(kind, len(layers), (layers[0].in_features, layers[0].out_features))
        found[kind] = Pools(layers, shape, *draws)
    return found


class PooledAdapter:
    """Low-rank updates of linear layers from shared pools.

    Args:
        pools: Pools by the name of a kind.
        names: Names of the layers of each kind, in the order of the tables.
        arithmetic: Scale and dropout.
    """

    def __init__(self, pools: Mapping[str, Pools], names: Mapping[str, Sequence[str]], arithmetic: Arithmetic) -> None:
        self._pools = dict(pools)
        self._places = {name: (kind, n) for kind, members in names.items() for n, name in enumerate(members)}
        self._arithmetic = arithmetic
        self._hooks: list[RemovableHandle] = []

    def __len__(self) -> int:
        """Number of adapted layers."""
        return len(self._places)

    def parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """The pools, by name: `<kind>.a`, `<kind>.b`."""
        for kind, pools in self._pools.items():
            yield from ((f"{kind}.{name}", p) for name, p in pools.named_parameters())

    def factors(self, name: str) -> Factors:
        """A `(rank, in)` and B `(out, rank)` of a layer, as they are now."""
        kind, number = self._places[name]
        return self._pools[kind].factors(number)

    def attach(self, module: nn.Module) -> None:
        """Add the update to the outputs of the module's layers until `merge`."""
        self._hooks += [linear(module, name).register_forward_hook(self._hook(name)) for name in self._places]

    @torch.no_grad()
    def merge(self, module: nn.Module) -> None:
        """Add the update to the weights of the module's layers, rounded once, and detach."""
        while self._hooks:
            self._hooks.pop().remove()
        for name in self._places:
            weight = linear(module, name).weight
            weight.copy_(self._arithmetic.merged(weight, self.factors(name)))

    def _hook(self, name: str):  # type: ignore[no-untyped-def]  # a hook of torch
        def add(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            update = self._arithmetic.update(inputs[0], self.factors(name), layer.training)
            return (output + update).to(output.dtype)

        return add
