import numpy as np
import torch
from scipy.spatial.transform import Rotation

from jepa_lab.data.views.rotations_3d import between, canonical, conjugate, from_euler, product


def angles(n: int = 200) -> torch.Tensor:
    return (torch.rand(n, 3, dtype=torch.float64) * 2 - 1) * torch.pi


def scipy_quaternion(rotation: Rotation) -> torch.Tensor:
    return canonical(torch.from_numpy(rotation.as_quat()))


def test_quaternions_are_those_of_extrinsic_xyz_angles() -> None:
    a = angles()
    torch.testing.assert_close(
        from_euler(a), scipy_quaternion(Rotation.from_euler("xyz", a.numpy()))
    )
    assert bool((from_euler(a)[:, 3] >= 0).all())


def test_the_relative_rotation_is_the_inverse_of_the_first_times_the_second() -> None:
    a, b = angles(), angles()
    first, second = (Rotation.from_euler("xyz", x.numpy()) for x in (a, b))
    step = between(from_euler(a), from_euler(b))
    torch.testing.assert_close(step, scipy_quaternion(first.inv() * second))
    torch.testing.assert_close(product(from_euler(a), step), from_euler(b))


def test_conjugates_and_products_are_those_of_the_rotations() -> None:
    a, b = angles(), angles()
    first, second = (Rotation.from_euler("xyz", x.numpy()) for x in (a, b))
    torch.testing.assert_close(conjugate(from_euler(a)), scipy_quaternion(first.inv()))
    torch.testing.assert_close(
        product(from_euler(a), from_euler(b)), scipy_quaternion(first * second)
    )


def test_both_signs_of_a_quaternion_have_one_canonical_form() -> None:
    q = torch.cat(
        [
            torch.randn(50, 4),
            torch.eye(4),
            torch.tensor([[0.5, -0.5, 0.0, 0.0], [0.0, 0.5, -0.5, 0.0]]),
        ]
    )
    assert torch.equal(canonical(q), canonical(-q))
    assert torch.equal(canonical(canonical(q)), canonical(q))
    assert torch.equal(canonical(-torch.eye(4)), torch.eye(4))


def test_zero_angles_and_equal_rotations_give_the_identity_quaternion() -> None:
    assert torch.equal(from_euler(torch.zeros(3)), torch.tensor([0.0, 0, 0, 1]))
    np.testing.assert_allclose(
        between(from_euler(torch.ones(3)), from_euler(torch.ones(3))), [0, 0, 0, 1], atol=1e-6
    )
