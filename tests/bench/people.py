"""Who asks, and from where: an issuer, its tokens, and public addresses."""
import base64, json, multiprocessing, os, random, time

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

ISSUER = "https://idp.bench.example"
# Public addresses of countries that no rule names, so that each is looked up to its end.
NETWORKS = ["12.0.0.0/8", "24.0.0.0/8", "73.0.0.0/8", "126.0.0.0/8", "133.0.0.0/8"]
# A prime: with any number of tokens, each comes from everywhere in the end.
ADDRESSES = 4093


def b64(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def sign(pem, names, roles, now):
    """One ES256 token for each name."""
    key = serialization.load_pem_private_key(pem, None)
    head = b64(json.dumps({"alg": "ES256", "kid": "bench", "typ": "at+jwt"}).encode())
    tokens = []
    for name in names:
        claims = {"iss": ISSUER, "sub": name, "aud": "doorward", "iat": now, "nbf": now, "exp": now + 36000, "auth_time": now,
                  "jti": f"t-{name}", "sid": f"s-{name}", "amr": ["pwd", "hwk", "mfa"], "groups": ["hr-team", "everyone"],
                  "roles": roles, "employment": "employee", "country": "DE", "email": f"{name}@bench.example", "email_verified": True}
        message = f"{head}.{b64(json.dumps(claims).encode())}"
        r, s = decode_dss_signature(key.sign(message.encode(), ec.ECDSA(hashes.SHA256())))
        tokens.append(f"{message}.{b64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}")
    return tokens


class People:
    """An issuer whose keys lie in `jwks.json` of a folder, and everybody whom it knows."""

    def __init__(self, folder):
        self.folder, self.now = folder, int(time.time())
        key = ec.generate_private_key(ec.SECP256R1())
        numbers = key.public_key().public_numbers()
        jwk = {"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "bench",
               "x": b64(numbers.x.to_bytes(32, "big")), "y": b64(numbers.y.to_bytes(32, "big"))}
        (folder / "jwks.json").write_text(json.dumps({"keys": [jwk]}))
        self.pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        chance = random.Random(1)
        self.places = [f"{chance.choice(NETWORKS).split('.')[0]}.{chance.randrange(256)}.{chance.randrange(256)}.{chance.randrange(1, 255)}"
                       for _ in range(ADDRESSES)]
        self.addresses = folder / "addresses"
        self.addresses.write_text("\n".join(self.places) + "\n")

    def token(self, name, roles=("employee", "hr")):
        return sign(self.pem, [name], list(roles), self.now)[0]

    def tokens(self, count):
        """The file with the tokens of so many people, one in each line."""
        file = self.folder / f"tokens-{count}"
        if not file.exists():
            names = [f"person{i}" for i in range(count)]
            parts = [(self.pem, names[i:i + 2000], ["employee", "hr"], self.now) for i in range(0, count, 2000)]
            with multiprocessing.get_context("fork").Pool(os.cpu_count()) as pool:
                file.write_text("".join(f"{token}\n" for part in pool.starmap(sign, parts) for token in part))
        return file
