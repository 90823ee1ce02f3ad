"""Access tokens: signed, short-lived, and saying no more than who. What that one may do is looked
up at every request, so that taking a role away needs no waiting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey
from joserfc.jwt import JWTClaimsRegistry

LIFE_S = 3600
_ALGORITHM = "RS256"
_GENERATION = "hotmend_generation"


@dataclass(frozen=True)
class Holder:
    """``generation``: of the principal, when the token was issued."""

    principal: str
    generation: int


@dataclass(frozen=True)
class Tokens:
    """``issuer``: the authority's URL; ``audience``: of the API."""

    key: RSAKey
    tenant: str
    issuer: str
    audience: str

    def issue(self, principal: str, now: float, generation: int = 0) -> str:
        """A token for an hour, or until the principal's next ``generation``."""
        claims = {
            "iss": self.issuer,
            "aud": self.audience,
            "sub": principal,
            "oid": principal,
            "appid": principal,
            "tid": self.tenant,
            "iat": int(now),
            "nbf": int(now),
            "exp": int(now) + LIFE_S,
            "ver": "1.0",
            _GENERATION: generation,
        }
        return jwt.encode({"alg": _ALGORITHM, "kid": self.key.thumbprint()}, claims, self.key)

    def holder(self, token: str, now: float) -> Holder | None:
        """Who comes with ``token``; None for one that is not good now."""
        try:
            decoded = jwt.decode(token, self.key, algorithms=[_ALGORITHM])
            JWTClaimsRegistry(
                now=lambda: int(now),
                iss={"essential": True, "value": self.issuer},
                aud={"essential": True, "value": self.audience},
                exp={"essential": True},
                nbf={"essential": True},
                sub={"essential": True},
            ).validate(decoded.claims)
        except (JoseError, ValueError, TypeError):
            return None
        return Holder(str(decoded.claims["sub"]), int(decoded.claims.get(_GENERATION, 0)))

    def public_keys(self) -> dict[str, Any]:
        """As the JWKS document has them."""
        key = self.key.as_dict(private=False)
        return {"keys": [{**key, "kid": self.key.thumbprint(), "use": "sig", "alg": _ALGORITHM}]}
