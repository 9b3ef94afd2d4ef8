"""Every kind of feed, one row each.  Yahoo's and Microsoft's complaint loops come as mail (collectors.returnmail);
Yandex shows its figures on a page only, so there is nothing to fetch."""

from __future__ import annotations

from collectors.postmaster import google, mailru, snds, snds_rest
from collectors.postmaster.feed import FeedRow

FEEDS: dict[str, FeedRow] = {
    row.kind: row
    for row in (
        FeedRow(
            kind="google", provider="gmail", fetch=google.fetch, state=google.state, url=google.URL,
            token_url=google.TOKEN_URL, bare_rates=google.BARE_RATES, lag_days=3,
        ),
        FeedRow(kind="snds", provider="outlook", fetch=snds.fetch, url=snds.URL),
        FeedRow(
            kind="snds_rest", provider="outlook", fetch=snds_rest.fetch, state=snds_rest.state, url=snds_rest.URL,
            token_url=snds_rest.TOKEN_URL,
        ),
        FeedRow(kind="mailru", provider="mailru", fetch=mailru.fetch, url=mailru.URL, token_url=mailru.TOKEN_URL),
    )
}  # fmt: skip
