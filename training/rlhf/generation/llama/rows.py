"""The rows of a batch that a model of the Llama family decodes together.

- Prompts are read without padding. In the last layer, only the last token of each prompt is passed to the
  MLP.
- Keys and values are written into one buffer with room for the whole answer. A prompt's keys and values are
  stored once for all samples. The queries of all samples are multiplied by the prompt's keys in one matrix
  product.
- The query heads of a group share its keys and values, which are not copied for each head.
- No operation makes the CPU wait for the device, because no tensor's shape depends on a computed value.
- On a GPU, steps can be repeated as CUDA graphs (`graphs`).
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import accumulate, groupby

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from training.rlhf.generation.llama.graphs import Capture, StaticSteps
from training.rlhf.generation.llama.trunk import Trunk

# The maximum number of prompt tokens that go through a layer together, unless a single prompt is longer. A
# larger number would take more memory without saving time.
READ_TOKENS = 4096


class LlamaBatch:
    """The state of P prompts with n samples each: the keys and values of R = P · n rows.

    The n rows of a prompt are adjacent. With one sample, a row's prompt and answer are in one buffer. With
    more samples, the prompts are in a buffer of P rows, and the answers are in a buffer of R rows. In these
    buffers, prompts are padded on the left. In each step, all rows write to the same column of the answers'
    buffer.
    """

    @torch.inference_mode()
    def __init__(
        self,
        trunk: Trunk,
        prompts: Sequence[Sequence[int]],
        *,
        n: int,
        limit: int,
        capture: Capture | None = None,
    ) -> None:
        self.trunk, self.prompts, self.n = trunk, prompts, n
        lengths = [len(prompt) for prompt in prompts]
        self.span, self.written = max(lengths), 0
        before = self.span if n == 1 else 0
        self.answers = self._buffer(len(prompts) * n, before + limit)
        self.shared = self.answers[..., :before, :] if n == 1 else self._buffer(len(prompts), self.span)
        self.shared.zero_()  # the weights of padding are 0, and 0 times a NaN would be NaN
        self.column = before
        self.bias = self._bias(lengths, self.span + (limit if n == 1 else 0))
        self.cos, self.sin = trunk.rotations(self.span + limit)
        self.positions = torch.tensor([length for length in lengths for _ in range(n)], device=trunk.device)
        # A table of the rows of each prompt's samples, and each row's place in the table. The value is None
        # if no rows were dropped.
        self.places: tuple[Tensor, Tensor] | None = None
        self.owners = [number for number in range(len(prompts)) for _ in range(n)]
        self.graphs: StaticSteps | None = None
        if capture is not None:
            self.answers.zero_()  # a graph also reads columns that nothing has been written to
            self.graphs = StaticSteps(self._step, capture, self.answers.shape[-2])

    def _buffer(self, rows: int, columns: int) -> Tensor:
        trunk = self.trunk
        shape = (len(trunk.layers), 2, rows, trunk.kv_heads, columns, trunk.width)
        if trunk.device.type == "cpu":
            return _in_huge_pages(shape, trunk.dtype)
        return torch.empty(shape, dtype=trunk.dtype, device=trunk.device)

    def _bias(self, lengths: Sequence[int], columns: int) -> Tensor | None:
        """Return 0 for tokens and -inf for padding, with shape (P, 1, 1, columns), or None if there is no
        padding."""
        padding = torch.tensor([self.span - length for length in lengths])
        if not padding.any():
            return None
        bias = torch.zeros(len(lengths), 1, 1, columns, dtype=self.trunk.dtype)
        bias.masked_fill_(torch.arange(columns) < padding[:, None, None, None], -torch.inf)
        return bias.to(self.trunk.device)

    can_keep = True

    @property
    def cache_bytes(self) -> int:
        return self.answers.nbytes + (self.shared.nbytes if self.n > 1 else 0)

    @torch.inference_mode()
    def read(self, beat: Callable[[], None]) -> Tensor:
        """Process the prompts. Return the logits for the first token of each row's answer, with shape (R, V).
        `beat` is called before each layer."""
        found, start = [], 0
        while start < len(self.prompts):
            sizes = accumulate(len(prompt) for prompt in self.prompts[start:])
            count = max(1, sum(size <= READ_TOKENS for size in sizes))
            found.append(self._read_some(start, self.prompts[start : start + count], beat))
            start += count
        return self.trunk.logits(torch.cat(found)).repeat_interleave(self.n, dim=0)

    def _read_some(self, start: int, prompts: Sequence[Sequence[int]], beat: Callable[[], None]) -> Tensor:
        """Process several prompts as one row, in which they follow one another without padding. Return the
        last layer's output for the last token of each prompt, with shape (prompts, hidden size)."""
        trunk, lengths = self.trunk, [len(prompt) for prompt in prompts]
        flat = torch.tensor([one for prompt in prompts for one in prompt], device=trunk.device)
        positions = torch.cat([torch.arange(length) for length in lengths]).to(trunk.device)
        cos, sin = self.cos[positions], self.sin[positions]
        last = torch.tensor(list(accumulate(lengths)), device=trunk.device) - 1
        runs, number, token = [], start, 0  # adjacent prompts of equal length
        for length, group in groupby(lengths):
            count = len(list(group))
            runs.append((slice(number, number + count), slice(token, token + count * length), length))
            number, token = number + count, token + count * length
        hidden = trunk.embed(flat)
        for layer, cache in zip(trunk.layers, self.shared, strict=True):
            beat()
            queries, keys, values = trunk.project(layer, hidden, cos, sin)
            attended = torch.empty_like(queries)
            for rows, tokens, length in runs:
                shape = (rows.stop - rows.start, length, -1, trunk.width)
                q, k, v = (one[tokens].view(shape).transpose(1, 2) for one in (queries, keys, values))
                cache[0, rows, :, self.span - length :], cache[1, rows, :, self.span - length :] = k, v
                attended[tokens].view(shape).copy_(_causal(q, k, v).transpose(1, 2))
            attended = attended.flatten(1)
            if layer is trunk.layers[-1]:  # no later layer reads the other tokens
                hidden, attended = hidden[last], attended[last]
            hidden = trunk.finish(layer, hidden, attended)
        return hidden

    @torch.inference_mode()
    def step(self, tokens: Tensor) -> Tensor:
        """Append a token to each row. Return the logits of the token that follows, with shape (R, V). With
        CUDA graphs, the next step overwrites these logits."""
        logits = None if self.graphs is None else self.graphs(tokens, self.column)
        if logits is None:
            self.graphs = None
            logits = self._step(tokens, self.column, self.column + 1)
        self.column += 1
        self.positions.add_(1)
        return logits

    def _step(self, tokens: Tensor, column: int | Tensor, columns: int) -> Tensor:
        """Write a token's keys and values to a column, and return the logits of the token that follows.

        Attention reads the first `columns` columns. If the column is a tensor, of shape (1,), then all shapes
        are the same for every column, and the columns after it are masked. A second call with the same
        arguments changes nothing."""
        trunk, rows = self.trunk, len(tokens)
        cos, sin = self.cos[self.positions], self.sin[self.positions]
        later = None if isinstance(column, int) else self._later(column, columns)
        bias = None if self.n > 1 or self.bias is None else self.bias[..., :columns]
        bias = later if bias is None else bias if later is None else bias + later
        hidden = trunk.embed(tokens)
        for layer, answers, shared in zip(trunk.layers, self.answers, self.shared, strict=True):
            queries, keys, values = trunk.project(layer, hidden, cos, sin)
            if isinstance(column, int):
                answers[0, :rows, :, column], answers[1, :rows, :, column] = keys, values
            else:
                answers[0, :rows].index_copy_(2, column, keys[:, :, None])
                answers[1, :rows].index_copy_(2, column, values[:, :, None])
            own = answers[:, :rows, :, :columns]
            grouped = queries.view(rows, trunk.kv_heads, -1, trunk.width)
            if self.n == 1:
                attended = scaled_dot_product_attention(grouped, own[0], own[1], attn_mask=bias)
            else:
                attended = self._attend(grouped, own, shared, later)
            hidden = trunk.finish(layer, hidden, attended.reshape(rows, -1))
        return trunk.logits(hidden)

    def _later(self, column: Tensor, columns: int) -> Tensor:
        """Return -inf for the columns after `column` and 0 for the others, with shape (1, 1, 1, columns)."""
        zeros = torch.zeros(1, 1, 1, columns, dtype=self.trunk.dtype, device=self.trunk.device)
        return zeros.masked_fill(torch.arange(columns, device=self.trunk.device) > column, -torch.inf)

    def _attend(self, queries: Tensor, own: Tensor, shared: Tensor, later: Tensor | None) -> Tensor:
        """Attend to the keys and values of the prompts and of the rows themselves, with one softmax over
        both.

        `queries` and the result have shape (R, kv heads, group, width). `later` masks columns of `own`."""
        queries = queries * self.trunk.width**-0.5
        of_prompts = self._by_prompt(queries) @ shared[0].mT
        if self.bias is not None:
            of_prompts += self.bias
        of_prompts = self._by_row(of_prompts, queries.shape[2])
        of_own = queries @ own[0].mT
        if later is not None:
            of_own += later
        scores = torch.cat([of_prompts, of_own], dim=-1)
        weights = scores.softmax(dim=-1, dtype=torch.float32).to(queries.dtype)
        for_prompts, for_own = torch.split(weights, [self.span, own.shape[-2]], dim=-1)
        attended = self._by_row(self._by_prompt(for_prompts) @ shared[1], queries.shape[2])
        return attended + torch.matmul(for_own, own[1])

    def _by_prompt(self, rows: Tensor) -> Tensor:
        """Arrange (R, kv heads, group, x) as (P, kv heads, samples · group, x)."""
        rows = rows.view(-1, self.n, *rows.shape[1:]) if self.places is None else rows[self.places[0]]
        return rows.transpose(1, 2).flatten(2, 3)

    def _by_row(self, prompts: Tensor, group: int) -> Tensor:
        """Undo `_by_prompt`."""
        count, heads, _, columns = prompts.shape
        rows = prompts.view(count, heads, -1, group, columns).transpose(1, 2).flatten(0, 1)
        return rows if self.places is None else rows[self.places[1]]

    @torch.inference_mode()
    def keep(self, rows: Sequence[int]) -> None:
        """Drop all rows except the given ones. `rows` must be in ascending order."""
        if self.graphs is not None:
            self.graphs.forget()
        device = self.trunk.device
        chosen = torch.tensor(rows, device=device)
        self.positions = self.positions[chosen]
        for layer in self.answers:  # one layer after another, so that the copies are small
            layer[:, : len(rows), :, : self.column] = layer[:, chosen, :, : self.column]
        self.owners = [self.owners[row] for row in rows]
        if self.n == 1:
            if self.bias is not None:
                self.bias = self.bias[chosen]
            return
        kept = sorted(set(self.owners))
        if len(kept) < len(self.shared[0, 0]):
            prompts = torch.tensor(kept, device=device)
            for layer in self.shared:
                layer[:, : len(kept)] = layer[:, prompts]
            self.shared = self.shared[:, :, : len(kept)]
            if self.bias is not None:
                self.bias = self.bias[prompts]
            self.owners = [kept.index(owner) for owner in self.owners]
        self.places = self._places(len(kept))

    def _places(self, prompts: int) -> tuple[Tensor, Tensor]:
        samples: list[list[int]] = [[] for _ in range(prompts)]
        for row, owner in enumerate(self.owners):
            samples[owner].append(row)
        width = max(map(len, samples))
        table = torch.tensor([one + [one[0]] * (width - len(one)) for one in samples])
        back = [owner * width + samples[owner].index(row) for row, owner in enumerate(self.owners)]
        return table.to(self.trunk.device), torch.tensor(back, device=self.trunk.device)


def _causal(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Causal attention of whole prompts. `queries` has shape (B, heads, T, width); `keys` and `values` have
    shape (B, kv heads, T, width)."""
    if queries.is_cuda:
        return scaled_dot_product_attention(queries, keys, values, is_causal=True, enable_gqa=True)
    kv_heads = keys.shape[1]
    group = queries.shape[1] // kv_heads
    # Each group of heads reads the same memory: a view with stride 0 is not a copy.
    flat = queries.reshape(-1, group, *queries.shape[2:])
    keys, values = (one.flatten(0, 1)[:, None].expand(-1, group, -1, -1) for one in (keys, values))
    return scaled_dot_product_attention(flat, keys, values, is_causal=True).reshape(queries.shape)


def _in_huge_pages(shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """Return an empty tensor on the CPU. Reading keys and values from pages of 2 MiB saved an eighth of the
    generation time, because the processor's TLB has too few entries for that many pages of 4 KiB."""
    size = math.prod(shape)
    memory = mmap.mmap(-1, max(1, size * dtype.itemsize))
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # a kernel without huge pages
            memory.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(memory, dtype=dtype, count=size).view(*shape)
