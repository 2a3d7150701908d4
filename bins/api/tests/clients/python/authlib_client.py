"""Authlib over requests, as its documentation uses them."""

import json
import sys

import requests
from authlib.common.security import generate_token
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2 import rfc8414, rfc9207

step, settings = sys.argv[1], json.loads(sys.argv[2])

# Plain HTTP is fine with Authlib since it is loopback.
url = rfc8414.get_well_known_url(settings["issuer"], external=True)
metadata = rfc8414.AuthorizationServerMetadata(requests.get(url, timeout=30).json())
metadata.validate(metadata_classes=[rfc9207.AuthorizationServerMetadata])

session = OAuth2Session(
    settings["client_id"],
    settings["client_secret"] or None,
    scope=settings["scope"],
    redirect_uri=settings["redirect_uri"],
    code_challenge_method="S256",
    token_endpoint=metadata["token_endpoint"],
)


def tokens():
    verifier = generate_token(48)
    url, state = session.create_authorization_url(metadata["authorization_endpoint"], code_verifier=verifier)
    back = requests.post(f"{settings['person']}/allow", data=url, timeout=30).text
    return session.fetch_token(authorization_response=back, state=state, code_verifier=verifier)


def refresh():
    first = dict(tokens())
    return {"first": first, "second": session.refresh_token()}


def introspect(token):
    return session.introspect_token(metadata["introspection_endpoint"], token["access_token"]).json()


def revoke():
    token = tokens()
    session.revoke_token(metadata["revocation_endpoint"], token["refresh_token"]).raise_for_status()
    return introspect(token)


def wrong_secret():
    try:
        return tokens()
    except OAuthError as error:
        return {"error": error.error}


steps = {
    "metadata": lambda: metadata,
    "code": tokens,
    "refresh": refresh,
    "introspect": lambda: introspect(tokens()),
    "revoke": revoke,
    "own": lambda: session.fetch_token(grant_type="client_credentials"),
    "wrong_secret": wrong_secret,
}
print(json.dumps(steps[step]()))
