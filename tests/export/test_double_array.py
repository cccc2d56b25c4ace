from hypothesis import given
from hypothesis import strategies as st

from sklearn_dl.export.tokens._double_array import build_double_array

N_SYMBOLS = 6
SEQUENCES = st.lists(st.integers(1, N_SYMBOLS - 1), min_size=1, max_size=6).map(tuple)


@given(
    st.dictionaries(SEQUENCES, st.integers(0, 99), min_size=1, max_size=40),
    st.lists(SEQUENCES, max_size=20),
)
def test_the_longest_known_beginning_of_a_sequence_is_found(known, others):
    trie = build_double_array(known, N_SYMBOLS)
    for sequence in [*known, *others]:
        cell = 0
        for symbol in (*sequence, 0):
            following = trie.base[cell] + symbol
            if trie.check[following] != cell:
                break
            cell = following
        beginnings = [sequence[:stop] for stop in range(1, len(sequence) + 1)]
        longest = max([b for b in beginnings if b in known], key=len, default=())
        assert trie.length[cell] == len(longest)
        assert trie.value[cell] == known.get(longest, -1)


def test_few_cells_are_empty():
    known = {(a, b, c): a + b + c for a in range(1, 30) for b in range(1, 30, a) for c in (1, 2)}
    n_nodes = 1 + len({s[:stop] for s in known for stop in (1, 2, 3)})
    trie = build_double_array(known, 30)
    assert (trie.check >= 0).sum() == n_nodes - 1
    assert len(trie.check) < 1.1 * n_nodes + 30
