package env

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/big"

	"github.com/abilian/hop3/hop3"
)

// Kinds are the kinds of secret that Generate makes.
var Kinds = []string{"hex", "base64", "urlsafe", "password", "uuid"}

const (
	defaultBytes    = 32
	defaultPassword = 24
	maxLength       = 4096
	alphabet        = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
)

// Generate makes a secret. Length counts random bytes, or characters for a
// password; a uuid has none.
func Generate(g hop3.Generate) (string, error) {
	length := g.Length
	if length == 0 {
		length = defaultBytes
		if g.Kind == "password" {
			length = defaultPassword
		}
	}
	if length < 1 || length > maxLength {
		return "", hop3.Errorf(hop3.CodeInvalid, "the length of a generated secret must be between 1 and %d", maxLength)
	}
	switch g.Kind {
	case "hex":
		return g.Prefix + hex.EncodeToString(random(length)), nil
	case "base64":
		return g.Prefix + base64.StdEncoding.EncodeToString(random(length)), nil
	case "urlsafe":
		return g.Prefix + base64.RawURLEncoding.EncodeToString(random(length)), nil
	case "password":
		return g.Prefix + password(length), nil
	case "uuid":
		return g.Prefix + uuid(), nil
	}
	return "", hop3.Errorf(hop3.CodeInvalid, "%q is not a kind of secret", g.Kind).
		WithHint("The kinds are %v.", Kinds)
}

// random never fails: crypto/rand ends the program when the system has no
// randomness.
func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}

func password(n int) string {
	b := make([]byte, n)
	size := big.NewInt(int64(len(alphabet)))
	for i := range b {
		k, _ := rand.Int(rand.Reader, size)
		b[i] = alphabet[k.Int64()]
	}
	return string(b)
}

func uuid() string {
	b := random(16)
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
