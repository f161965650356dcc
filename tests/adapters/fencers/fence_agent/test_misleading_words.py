"""Where the words of an agent mislead, what helps is said beside them."""

import pytest

from tests.adapters.fencers.fence_agent.test_fence_agent import Fake

pytestmark = pytest.mark.slow


class TestMisleadingWords(Fake):
    @pytest.mark.parametrize(
        ("how", "options", "said"),
        [
            ("no plug", {"ip": "a"}, "check its user, its password and its address"),
            ("no plug", {"ip": "a", "port": "4"}, "Check the name or number of its plug"),
            ("stranger", {"ip": "a"}, "--option ssl_insecure=1, which asks whoever answers"),
        ],
    )
    def test_what_helps_is_said_where_the_agents_own_words_mislead(
        self, how: str, options: dict[str, str], said: str
    ) -> None:
        self.fail(how)
        assert said in str(self.refused(lambda: self.power(self.with_options(options))))
