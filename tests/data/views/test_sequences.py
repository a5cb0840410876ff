import torch

from jepa_lab.data.views.sequences import SequenceBatch


def test_the_target_is_the_last_view_and_the_rest_is_observed() -> None:
    views = torch.arange(24.0).view(2, 4, 1, 1, 3)
    batch = SequenceBatch(
        views,
        torch.zeros(2, 3, 2),
        torch.zeros(2, 4, 1),
        torch.zeros(2, 4, 2),
        None,
        torch.arange(2),
    )
    assert batch.n_views == 4
    assert torch.equal(torch.cat([batch.observed, batch.target[:, None]], dim=1), views)
