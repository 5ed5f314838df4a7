package auth

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/crypto/ssh"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/platform"
)

var _ platform.Authenticator = (*Auth)(nil)

func newAuth(t *testing.T) *Auth {
	t.Helper()
	a, err := New(bytes.Repeat([]byte("s"), MinSecret), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestAShortSecretIsRefused(t *testing.T) {
	if _, err := New([]byte("short"), 0); hop3.CodeOf(err) != hop3.CodeInvalid {
		t.Errorf("error %v, want CodeInvalid", err)
	}
}

func TestPasswords(t *testing.T) {
	a := newAuth(t)
	hash, err := a.HashPassword("correct horse")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(hash, "$argon2id$v=19$m=") {
		t.Errorf("%s is no PHC string", hash)
	}
	if again, _ := a.HashPassword("correct horse"); again == hash {
		t.Error("two hashes of a password are the same")
	}
	if !a.VerifyPassword(hash, "correct horse") || a.VerifyPassword(hash, "correct horsf") || a.VerifyPassword(hash, "") {
		t.Error("the hash is not that of its password alone")
	}
	for _, bad := range []string{"", "plain", "$argon2id$v=19$m=4294967295,t=1,p=1$AAAAAAAAAAAAAAAA$AAAA", strings.Replace(hash, "t=2", "t=0", 1), strings.Replace(hash, "argon2id", "argon2i", 1)} {
		if a.VerifyPassword(bad, "correct horse") {
			t.Errorf("the hash %q is taken", bad)
		}
	}
	for _, bad := range []string{"", "short", strings.Repeat("x", maxPassword+1)} {
		if _, err := a.HashPassword(bad); hop3.CodeOf(err) != hop3.CodeInvalid {
			t.Errorf("a password of %d bytes: %v", len(bad), err)
		}
	}
}

func TestTokens(t *testing.T) {
	a := newAuth(t)
	token, err := a.IssueToken(hop3.User{Username: "alice", Admin: true})
	if err != nil {
		t.Fatal(err)
	}
	got, err := a.ParseToken(token)
	if err != nil {
		t.Fatal(err)
	}
	if got.Username != "alice" || got.ID == "" || fmt.Sprint(got.Scopes) != "[authenticated admin]" || got.Expires.Sub(got.Issued) != time.Hour {
		t.Errorf("the token says %+v", got)
	}
	if parts := strings.Split(token, "."); !strings.HasPrefix(parts[0], "eyJ") || !strings.HasPrefix(parts[1], "eyJ") {
		t.Errorf("clients do not recognise %s", token)
	}
}

func TestForgedTokensAreRefused(t *testing.T) {
	a := newAuth(t)
	now := time.Now()
	good := jwt.MapClaims{"sub": "alice", "scopes": []string{"admin"}, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "jti": "x"}
	sign := func(change func(jwt.MapClaims), method jwt.SigningMethod, key any) string {
		c := jwt.MapClaims{}
		for k, v := range good {
			c[k] = v
		}
		change(c)
		s, err := jwt.NewWithClaims(method, c).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	same := func(jwt.MapClaims) {}
	if _, err := a.ParseToken(sign(same, jwt.SigningMethodHS256, a.secret)); err != nil {
		t.Fatalf("the model is not good: %v", err)
	}
	for name, token := range map[string]string{
		"empty":          "",
		"garbage":        "eyJ.eyJ.x",
		"no algorithm":   sign(same, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType),
		"other secret":   sign(same, jwt.SigningMethodHS256, bytes.Repeat([]byte("o"), 32)),
		"other method":   sign(same, jwt.SigningMethodHS512, a.secret),
		"expired":        sign(func(c jwt.MapClaims) { c["exp"] = now.Add(-time.Minute).Unix() }, jwt.SigningMethodHS256, a.secret),
		"of the future":  sign(func(c jwt.MapClaims) { c["iat"] = now.Add(time.Hour).Unix() }, jwt.SigningMethodHS256, a.secret),
		"never expires":  sign(func(c jwt.MapClaims) { delete(c, "exp") }, jwt.SigningMethodHS256, a.secret),
		"nobody's":       sign(func(c jwt.MapClaims) { delete(c, "sub") }, jwt.SigningMethodHS256, a.secret),
		"without an id":  sign(func(c jwt.MapClaims) { delete(c, "jti") }, jwt.SigningMethodHS256, a.secret),
		"magic link":     sign(func(c jwt.MapClaims) { c["scopes"] = []string{"magic_link"} }, jwt.SigningMethodHS256, a.secret),
		"without scopes": sign(func(c jwt.MapClaims) { delete(c, "scopes") }, jwt.SigningMethodHS256, a.secret),
	} {
		if _, err := a.ParseToken(token); hop3.CodeOf(err) != hop3.CodeUnauthorized {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKeys(t *testing.T) {
	a := newAuth(t)
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	line := authorized(t, public)
	key, err := a.ParseKey(line + " alice@laptop\x1b[31m\n")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(key.Fingerprint, "SHA256:") || key.Comment != "alice@laptop[31m" || key.PublicKey != line+" "+key.Comment {
		t.Errorf("the key is %+v", key)
	}
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	strong, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.ParseKey(authorized(t, &strong.PublicKey)); err != nil {
		t.Errorf("RSA of 2048 bits: %v", err)
	}
	one := big.NewInt(1)
	old := ssh.Marshal(struct {
		Type       string
		P, Q, G, Y *big.Int
	}{"ssh-dss", new(big.Int).Lsh(one, 1023), new(big.Int).Lsh(one, 159), one, one})
	for name, bad := range map[string]string{
		"empty":       "",
		"a word":      "hello",
		"options":     `command="rm -rf /" ` + line,
		"two keys":    line + "\n" + line,
		"private key": "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n",
		"weak RSA":    authorized(t, &weak.PublicKey),
		"DSA":         "ssh-dss " + base64.StdEncoding.EncodeToString(old),
		"endless":     line + " " + strings.Repeat("x", maxKeyLine),
	} {
		if _, err := a.ParseKey(bad); hop3.CodeOf(err) != hop3.CodeInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func authorized(t *testing.T, public any) string {
	t.Helper()
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
}

func TestLoginAttemptsAreLimited(t *testing.T) {
	a := newAuth(t)
	now := time.Now()
	a.now = func() time.Time { return now }
	for i := range loginBurst {
		if !a.Allow("1.2.3.4") {
			t.Fatalf("attempt %d was refused", i+1)
		}
	}
	if a.Allow("1.2.3.4") {
		t.Error("one more was allowed")
	}
	if !a.Allow("1.2.3.5") {
		t.Error("another source was refused")
	}
	now = now.Add(loginWindow + time.Second)
	if !a.Allow("1.2.3.4") {
		t.Error("a minute later it was still refused")
	}
	for i := range 2 * maxSources {
		a.Allow(fmt.Sprint(i))
	}
	if len(a.attempts) > maxSources {
		t.Errorf("%d sources are remembered", len(a.attempts))
	}
}
