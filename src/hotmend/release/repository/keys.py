"""Keys of publishers: files for a start, or tokens behind PKCS#11.

A public key is a JSON file, KEY.pub. The private one is KEY.pem beside it, or in a token: then the
.pub file holds a ``hsm:`` URI that tells securesystemslib which.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.signer import CryptoSigner, HSMSigner, Key, Signer, SSlibKey

from hotmend.release.errors import RepositoryError

PIN_VARIABLE = "HOTMEND_HSM_PIN"
_URI = "x-hotmend-uri"


def create(path: Path) -> Key:
    """A new Ed25519 key: ``path``.pem, for its owner alone, and ``path``.pub. Raises
    RepositoryError."""
    signer = CryptoSigner.generate_ed25519()
    private, public = path.with_suffix(".pem"), path.with_suffix(".pub")
    try:
        handle = os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(signer.private_bytes)
        _write_public(public, signer.public_key, "")
    except FileExistsError:
        raise RepositoryError(f"{private} exists; keys are never overwritten") from None
    except OSError as error:
        raise RepositoryError(f"{error.filename} cannot be written: {error.strerror}") from None
    return signer.public_key


def in_token(path: Path, keyid: int, token: str, *, new: bool) -> Key:
    """Write ``path``.pub for key ``keyid`` of the PKCS#11 token labelled ``token``; a ``new`` one
    (ECDSA, P-256) is made there and never leaves it. The library is $PYKCS11LIB, the PIN
    $HOTMEND_HSM_PIN. Raises RepositoryError."""
    try:
        if new:
            _generate(keyid, token)
        uri, key = HSMSigner.import_(keyid, token, _pin)
    except Exception as error:  # pkcs11 and securesystemslib each have their own
        said = str(error) or type(error).__name__
        raise RepositoryError(f"the token {token} does not give key {keyid}: {said}") from None
    _write_public(path.with_suffix(".pub"), key, uri)
    return key


def _generate(keyid: int, token: str) -> None:
    """Raises whatever pkcs11 does."""
    import pkcs11
    from pkcs11.util import biginteger
    from pkcs11.util.ec import encode_named_curve_parameters

    library = pkcs11.lib(os.environ.get("PYKCS11LIB", ""))
    with library.get_token(token_label=token).open(rw=True, user_pin=_pin("pin")) as session:
        curve = encode_named_curve_parameters("secp256r1")
        domain = session.create_domain_parameters(
            pkcs11.KeyType.EC, {pkcs11.Attribute.EC_PARAMS: curve}, local=True
        )
        domain.generate_keypair(store=True, id=biginteger(keyid), label=f"hotmend {keyid}")


def _pin(_: str) -> str:
    return os.environ.get(PIN_VARIABLE, "")


def public(path: Path) -> Key:
    """The key in a .pub file. Raises RepositoryError."""
    content = _read_public(path)
    return Key.from_dict(content.pop("keyid"), content)


def signer(path: Path) -> Signer:
    """Who signs with the key of a .pub file. Raises RepositoryError."""
    content = _read_public(path)
    uri = content.pop(_URI, "")
    key = SSlibKey.from_dict(content.pop("keyid"), content)
    try:
        if uri:
            return Signer.from_priv_key_uri(uri, key, _pin)
        private = load_pem_private_key(path.with_suffix(".pem").read_bytes(), password=None)
        return CryptoSigner(private, key)
    except OSError as error:
        raise RepositoryError(f"{error.filename} cannot be read: {error.strerror}") from None
    except Exception as error:  # pkcs11, cryptography and securesystemslib each have their own
        raise RepositoryError(f"the private key of {path.name} cannot be used: {error}") from None


def _write_public(path: Path, key: Key, uri: str) -> None:
    content = {"keyid": key.keyid, **key.to_dict()}
    if uri:
        content[_URI] = uri
    path.write_text(json.dumps(content, indent=1) + "\n")


def _read_public(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
        Key.from_dict(content["keyid"], {k: v for k, v in content.items() if k != "keyid"})
    except OSError as error:
        raise RepositoryError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RepositoryError(f"{path} is not a public key: {error!r}") from None
    return dict(content)
