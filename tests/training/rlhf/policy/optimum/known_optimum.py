"""An environment that is small enough to list every answer, so that the best possible policy is known.

The vocabulary has 13 tokens and an answer has at most 3, so a prompt has 1,885 answers. The reward model
prefers the word "good". All expectations are sums over all answers, so they contain no sampling error.

With a KL penalty, the best policy is known in closed form: pi* = pi_ref exp(r / beta) / Z with
Z = E_ref[exp(r / beta)], and its objective E[r] - beta KL is beta log Z (Rafailov et al. 2023, arXiv
2305.18290 eq. 4).
"""

from __future__ import annotations

import copy
import itertools
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor
from transformers import LlamaForSequenceClassification, PreTrainedModel, PreTrainedTokenizerFast

from tests.training.rlhf import tiny
from training.rlhf.core.messages import Messages
from training.rlhf.core.seeds import generator_for
from training.rlhf.data.rankings import Ranking
from training.rlhf.generation.interface import Completion
from training.rlhf.judging.judges import Asked, open_judges
from training.rlhf.models.forward.inputs import Inputs
from training.rlhf.models.forward.logprobs import token_log_probs
from training.rlhf.models.loading.sources import Loaded
from training.rlhf.models.tokens import chat
from training.rlhf.recipes.parts.rewards import UsesRewards

NAMES = ("<pad>", "<eos>", "<bos>", "<unk>", "user", "assistant", ":", "good", "bad", "w0", "w1", "w2", "w3")
EOS, GOOD = NAMES.index("<eos>"), NAMES.index("good")
MAX_NEW_TOKENS = 3
MISSING_EOS_PENALTY = 3.0  # makes the best answer end with EOS
PROMPTS: list[Messages] = [[{"role": "user", "content": f"w{n}"}] for n in range(4)]
# Settings of a loop that samples rollouts in this environment.
ROLLOUTS: dict[str, Any] = {
    "max_new_tokens": MAX_NEW_TOKENS,
    "missing_eos_penalty": MISSING_EOS_PENALTY,
    "temperature": 1.0,
    "score_clip": 100.0,
    "samples": 0,
}


@dataclass(frozen=True)
class World:
    """The environment, with every answer to each prompt.

    ``rewards``, with shape (P, A), are the scores of the A answers to each of P prompts, including the
    penalty for truncated answers. ``reference``, with shape (P, A), are the answers' log-probabilities under
    the initial policy. The probabilities of a prompt's answers add up to 1.
    """

    start: Loaded
    judge: Loaded
    answers: list[Completion]
    rewards: Tensor
    reference: Tensor

    def policy(self) -> Loaded:
        """Return a new copy of the initial policy."""
        return Loaded(copy.deepcopy(self.start.model), self.start.tokenizer)

    def reward_model(self) -> Loaded:
        """Return a new copy of the reward model."""
        return Loaded(copy.deepcopy(self.judge.model), self.judge.tokenizer)

    def share_of_best_reward(self, model: PreTrainedModel) -> float:
        """Return the share of the possible gain in reward that the policy has achieved: 0 for the initial
        policy and 1 for a policy that always gives the best answer."""
        found = expected(log_probs(model, self.answers), self.rewards)
        first = expected(self.reference, self.rewards)
        return float(((found - first) / (self.rewards.max(dim=1).values - first)).mean())

    def share_of_optimum(self, model: PreTrainedModel, beta: float) -> float:
        """Return the share of the possible gain in E[r] - beta KL that the policy has achieved: 0 for the
        initial policy and 1 for the closed-form optimum."""
        now = log_probs(model, self.answers)
        found = expected(now, self.rewards - beta * (now - self.reference))
        first = expected(self.reference, self.rewards)
        best = beta * torch.logsumexp(self.reference + self.rewards / beta, dim=1)
        return float(((found - first) / (best - first)).mean())

    def kl(self, model: PreTrainedModel) -> float:
        """Return the policy's KL from the initial policy, in nats per answer."""
        now = log_probs(model, self.answers)
        return float(expected(now, now - self.reference).mean())


def expected(log_probabilities: Tensor, values: Tensor) -> Tensor:
    """Return the expectation over the answers to each prompt, (P,), of values with shape (P, A)."""
    return (log_probabilities.exp() * values).sum(dim=1)


@cache
def world(seed: int = 0) -> World:
    """Return an environment whose initial policy and reward model depend on the seed."""
    return world_of(Loaded(_policy(seed), _tokenizer()), Loaded(_reward_model(seed), _tokenizer()))


def world_of(start: Loaded, judge: Loaded) -> World:
    """Return the environment with these models. Scores are standardised with the mean and standard deviation
    of the initial policy's rewards. The reward model stores these two numbers as its scale."""
    answers = every_answer()
    reference = log_probs(start.model, answers)
    judge.model.config.rankloop = {"reward_mean": 0.0, "reward_std": 1.0}
    raw = _scores(start, judge, answers)
    mean = expected(reference, raw).mean()
    deviation = expected(reference, (raw - mean) ** 2).mean().sqrt()
    finished = torch.tensor([answer.finished for answer in answers])
    judge.model.config.rankloop = {"reward_mean": float(mean), "reward_std": float(deviation)}
    rewards = (raw - mean) / deviation - MISSING_EOS_PENALTY * ~finished
    return World(start, judge, answers, rewards, reference)


def every_answer() -> list[Completion]:
    """Return every answer of at most MAX_NEW_TOKENS tokens, as the sampler returns it."""
    words = [token for token in range(len(NAMES)) if token != EOS]
    ended = [
        Completion([*said, EOS], True)
        for length in range(MAX_NEW_TOKENS)
        for said in itertools.product(words, repeat=length)
    ]
    return ended + [Completion(list(said), False) for said in itertools.product(words, repeat=MAX_NEW_TOKENS)]


@torch.no_grad()
def log_probs(model: PreTrainedModel, answers: list[Completion]) -> Tensor:
    """Return the log-probability, in fp64, of each answer to each prompt. The shape is (P, A)."""
    found = []
    for messages in PROMPTS:
        prompt = chat.encode_prompt(_tokenizer(), messages)
        width = len(prompt) + MAX_NEW_TOKENS
        rows = torch.tensor([[*prompt, *a.ids, *[0] * (MAX_NEW_TOKENS - len(a.ids))] for a in answers])
        ends = torch.tensor([len(prompt) + len(a.ids) for a in answers])[:, None]
        places = torch.arange(width)[None, :]
        wanted = (places >= len(prompt)) & (places < ends)
        inputs = Inputs.of(rows, (places < ends).long(), wanted)
        flat = token_log_probs(model, inputs, temperature=1.0)
        per_token = torch.zeros(wanted.shape, dtype=torch.float64).masked_scatter(wanted, flat.double())
        found.append(per_token.sum(dim=1))
    return torch.stack(found)


def ranked_answers(world: World, model: PreTrainedModel, seed: int, number: int) -> list[Ranking]:
    """Return up to 32 rankings per prompt. Each ranking orders 16 sampled answers by reward. Repeated and
    truncated answers are left out."""
    found = []
    for p, probabilities in enumerate(log_probs(model, world.answers).exp()):
        generator = generator_for(seed, "rankings", number, p)
        for _ in range(32):
            drawn = torch.multinomial(probabilities, 16, replacement=True, generator=generator)
            chosen = [i for i in drawn.unique().tolist() if world.answers[i].finished]
            if len(chosen) > 1:
                texts = [chat.decode(world.start.tokenizer, world.answers[i].ids) for i in chosen]
                order = world.rewards[p, chosen].argsort(descending=True).tolist()
                found.append(Ranking(tuple(PROMPTS[p]), tuple(texts), tuple((i,) for i in order)))
    return found


def _scores(policy: Loaded, judge: Loaded, answers: list[Completion]) -> Tensor:
    judges = open_judges({"good": judge}, UsesRewards(), policy=policy)
    asked = [
        Asked(messages, chat.encode_prompt(policy.tokenizer, messages), [a.ended(EOS) for a in answers])
        for messages in PROMPTS
    ]
    return judges.score(asked).scores.view(len(PROMPTS), -1).double()


def _tokenizer() -> PreTrainedTokenizerFast:
    inner = Tokenizer(models.WordLevel({name: i for i, name in enumerate(NAMES)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", eos_token="<eos>", bos_token="<bos>", unk_token="<unk>"
    )


def _policy(seed: int) -> PreTrainedModel:
    return tiny.policy(seed=seed, context=16, vocab_size=len(NAMES), initializer_range=0.1)


def _reward_model(seed: int) -> PreTrainedModel:
    """A reward model whose score rises with the proportion of "good" tokens.

    In its only layer, all parameters are zero except the norms and the value and output projections, so
    attention averages the normalised embeddings of all tokens up to EOS. The head reads the first component
    of that average. In the embeddings, this component is large only for "good". The other tokens have small
    random values, so that they differ.
    """
    config = tiny.policy(num_hidden_layers=1, num_key_value_heads=4, vocab_size=len(NAMES)).config
    config.num_labels = 1
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model: PreTrainedModel = LlamaForSequenceClassification(config).eval()  # type: ignore[no-untyped-call]
        torch.nn.init.normal_(model.model.embed_tokens.weight, std=0.1)
    with torch.no_grad():
        model.model.embed_tokens.weight[GOOD, 0] = 1.0
        layer = model.model.layers[0]
        for name, parameter in layer.named_parameters():
            if "norm" not in name:
                parameter.zero_()
        layer.self_attn.v_proj.weight.copy_(torch.eye(32))
        layer.self_attn.o_proj.weight.copy_(torch.eye(32))
        model.score.weight.zero_()
        model.score.weight[0, 0] = 1.0
    return model
