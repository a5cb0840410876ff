"""The vision transformer: its sizes, its positions, stochastic depth, and agreement with timm."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from jepa_lab.errors import UserError, to_install
from jepa_lab.networks.ema import make_ema_copy
from jepa_lab.networks.encoders import build_encoder
from jepa_lab.networks.timm_encoder import TimmEncoder
from jepa_lab.networks.vision_transformer import DropPath, VisionTransformer, grid_positions

TINY = {"patch_size": 4, "width": 16, "depth": 2, "heads": 2}


def vit(image_size: int = 8, channels: int = 1, **options: object) -> VisionTransformer:
    return VisionTransformer(channels, image_size, **{**TINY, **options})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("width", "heads", "parameters"), [(192, 3, 5_524_416), (384, 6, 21_665_664)]
)
def test_sizes_are_the_published_ones_without_classifier_and_learned_positions(
    width: int, heads: int, parameters: int
) -> None:
    encoder = VisionTransformer(
        3, 224, patch_size=16, width=width, depth=12, heads=heads, pool="cls"
    )
    found = sum(p.numel() for p in encoder.parameters())
    assert found == parameters - 197 * width  # whose positions are learned
    assert encoder.positions.shape == (196, width)  # type: ignore[operator, union-attr]


@pytest.mark.parametrize("pool", ["cls", "mean"])
@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_becomes_width_features(pool: str, channels: int) -> None:
    encoder = vit(12, channels, pool=pool)
    assert encoder(torch.randn(3, channels, 12, 12)).shape == (3, 16) == (3, encoder.dim)
    assert (encoder.cls is None) == (pool == "mean")


def test_features_do_not_depend_on_the_other_images_of_a_batch() -> None:
    encoder, images = vit(), torch.randn(5, 1, 8, 8)
    together = encoder.train()(images)
    torch.testing.assert_close(together[3:4], encoder(images[3:4]), rtol=1e-5, atol=1e-6)


def test_without_positions_the_mean_ignores_the_order_of_patches_and_with_them_it_does_not() -> (
    None
):
    encoder, image = vit(pool="mean").eval(), torch.randn(1, 1, 8, 8)
    moved = image.roll(4, dims=3)  # exchanges the columns of patches
    assert (encoder(image) - encoder(moved)).abs().max() > 1e-3
    encoder.positions.zero_()  # type: ignore[operator, union-attr]
    torch.testing.assert_close(encoder(image), encoder(moved), rtol=1e-5, atol=1e-6)


def test_positions_are_sines_and_cosines_of_row_and_column() -> None:
    found = grid_positions(3, 8)
    for row in range(3):
        for column in range(3):
            code = [
                f(x * 10_000 ** (-2 * k / 4))
                for x in (row, column)
                for k in range(2)
                for f in (math.sin, math.cos)
            ]
            assert found[3 * row + column].tolist() == pytest.approx(code, abs=1e-6)


def test_a_block_adds_attention_and_an_mlp_written_out() -> None:
    block = vit().blocks[0].double()
    tokens = torch.randn(2, 5, 16, dtype=torch.float64)
    x = block.norm_1(tokens)
    q, k, v = (block.qkv(x)[..., i * 16 : (i + 1) * 16] for i in range(3))
    heads = []
    for h in range(2):
        at = slice(8 * h, 8 * h + 8)
        weights = torch.softmax(q[..., at] @ k[..., at].transpose(1, 2) / math.sqrt(8), dim=-1)
        heads.append(weights @ v[..., at])
    expected = tokens + block.out(torch.cat(heads, dim=-1))
    expected = expected + block.mlp(block.norm_2(expected))
    torch.testing.assert_close(block(tokens), expected)


def test_stochastic_depth_drops_whole_samples_and_keeps_the_mean() -> None:
    drop = DropPath(0.25)
    dropped = drop(torch.ones(4000, 3, 2))
    per_sample = dropped.flatten(1)
    assert bool((per_sample == per_sample[:, :1]).all())
    assert sorted(set(per_sample[:, 0].tolist())) == pytest.approx([0.0, 1 / 0.75])
    assert float(dropped.mean()) == pytest.approx(1.0, abs=0.04)
    assert torch.equal(drop.eval()(torch.ones(3, 2)), torch.ones(3, 2))


def test_rates_of_stochastic_depth_grow_with_depth_and_are_off_in_the_target() -> None:
    encoder = vit(depth=3, drop_path=0.2)
    rates = [m.drop_prob for m in encoder.modules() if isinstance(m, DropPath)]
    assert rates == pytest.approx([0.0, 0.1, 0.2])
    target = make_ema_copy(encoder).train()
    images = torch.randn(6, 1, 8, 8)
    assert torch.equal(target(images), target(images))
    assert torch.equal(target(images), encoder.eval()(images))


def test_images_that_are_no_multiple_of_the_patches_are_refused_with_sizes_that_fit() -> None:
    with pytest.raises(UserError, match=r"encoder\.patch_size=4: views of 10x10 .*one of 2, 5, 10"):
        vit(10)


def test_build_encoder_knows_both() -> None:
    for name in ("vit_tiny", "vit_small"):
        encoder = build_encoder(name, in_channels=3, image_size=8, **TINY)  # type: ignore[arg-type]
        assert isinstance(encoder, VisionTransformer)


def test_a_missing_timm_is_one_line_with_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    with pytest.raises(UserError) as error:
        TimmEncoder("vit_tiny_patch16_224", 3, 32)
    assert str(error.value).endswith(to_install("timm"))


class TestTimm:
    @pytest.fixture(autouse=True)
    def _timm(self) -> None:
        pytest.importorskip("timm", reason="the extra timm is not installed")

    @pytest.mark.parametrize(
        ("name", "options", "dim"),
        [
            ("vit_tiny_patch16_224", {"patch_size": 4}, 192),
            ("vit_tiny_patch16_224", {"patch_size": 4, "pool": "avg", "drop_path": 0.1}, 192),
            ("resnet18", {}, 512),
            ("convnext_atto", {"drop_path": 0.1}, 320),
        ],
    )
    def test_a_model_returns_dim_features(self, name: str, options: dict, dim: int) -> None:  # type: ignore[type-arg]
        encoder = TimmEncoder(name, 1, 32, **options)
        assert encoder.dim == dim
        assert encoder.training
        assert encoder(torch.randn(2, 1, 32, 32)).shape == (2, dim)

    def test_our_transformer_computes_the_features_of_timm_with_its_weights(self) -> None:
        theirs = TimmEncoder("vit_tiny_patch16_224", 3, 16, patch_size=4).net.eval()
        ours = VisionTransformer(3, 16, patch_size=4, width=192, depth=12, heads=3).eval()
        weights = {
            x.replace("patch_embed.proj", "patches")
            .replace("cls_token", "cls")
            .replace("norm1", "norm_1")
            .replace("norm2", "norm_2")
            .replace("attn.qkv", "qkv")
            .replace("attn.proj", "out")
            .replace("mlp.fc1", "mlp.0")
            .replace("mlp.fc2", "mlp.2"): value
            for x, value in theirs.state_dict().items()
        }
        positions = weights.pop("pos_embed")
        ours.load_state_dict({**weights, "cls": weights["cls"] + positions[:, :1]})
        ours.positions = positions[0, 1:]
        images = torch.randn(3, 3, 16, 16)
        torch.testing.assert_close(ours(images), theirs(images), rtol=1e-4, atol=1e-5)

    def test_stochastic_depth_of_timm_is_off_in_the_target(self) -> None:
        encoder = TimmEncoder("vit_tiny_patch16_224", 1, 16, patch_size=8, drop_path=0.5)
        assert any(
            getattr(m, "drop_prob", 0) for m in encoder.modules() if type(m) is not nn.Dropout
        )
        target, images = make_ema_copy(encoder).train(), torch.randn(4, 1, 16, 16)
        assert torch.equal(target(images), target(images))

    @pytest.mark.parametrize(
        ("name", "options", "line"),
        [
            (
                "vit_tinny_patch16_224",
                {},
                "timm has no such model; did you mean 'vit_tiny_patch16_",
            ),
            ("resnet18", {"patch_size": 4}, r"with patch_size=4 \(.*patch_size"),
            ("vit_tiny_patch16_224", {"pool": "sum"}, "cannot be built for views of 32x32 pixels"),
        ],
    )
    def test_what_does_not_fit_is_one_line(self, name: str, options: dict, line: str) -> None:  # type: ignore[type-arg]
        with pytest.raises(UserError, match=line) as error:
            TimmEncoder(name, 1, 32, **options)
        assert "\n" not in str(error.value)
