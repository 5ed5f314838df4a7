package auth

import (
	"bytes"
	"crypto/rsa"
	"strings"
	"unicode"

	"golang.org/x/crypto/ssh"

	"github.com/abilian/hop3/hop3"
)

const (
	minRSA     = 2048
	maxKeyLine = 16 << 10
	maxComment = 200
)

// ParseKey reads one line as ssh-keygen writes it into a .pub file. It returns
// a CodeInvalid error for anything else: several lines, a private key, options
// before the key, or a key too weak to trust.
func (a *Auth) ParseKey(line string) (hop3.Key, error) {
	line = strings.TrimSpace(line)
	switch {
	case line == "":
		return hop3.Key{}, badKey("There is no key in it.")
	case strings.Contains(line, "PRIVATE KEY"):
		return hop3.Key{}, badKey("This is a private key: keep it to yourself, and give the .pub file.")
	case strings.ContainsAny(line, "\r\n"):
		return hop3.Key{}, badKey("Give one key at a time.")
	case len(line) > maxKeyLine:
		return hop3.Key{}, badKey("It is too long.")
	}
	public, comment, options, _, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil {
		return hop3.Key{}, badKey("A public key looks like 'ssh-ed25519 AAAA… name'.")
	}
	if len(options) > 0 {
		return hop3.Key{}, badKey("Options before the key are not supported.")
	}
	if err := checkStrength(public); err != nil {
		return hop3.Key{}, err
	}
	comment = printable(comment)
	stored := string(bytes.TrimSpace(ssh.MarshalAuthorizedKey(public)))
	if comment != "" {
		stored += " " + comment
	}
	return hop3.Key{
		Fingerprint: ssh.FingerprintSHA256(public),
		PublicKey:   stored,
		Comment:     comment,
	}, nil
}

func checkStrength(public ssh.PublicKey) error {
	switch public.Type() {
	case ssh.KeyAlgoED25519, ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256,
		ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521:
		return nil
	case ssh.KeyAlgoRSA:
		if k, ok := public.(ssh.CryptoPublicKey); ok {
			if r, ok := k.CryptoPublicKey().(*rsa.PublicKey); ok && r.N.BitLen() >= minRSA {
				return nil
			}
		}
		return badKey("An RSA key needs at least 2048 bits; better is 'ssh-keygen -t ed25519'.")
	default:
		return badKey("Keys of type " + public.Type() + " are not accepted; make one with 'ssh-keygen -t ed25519'.")
	}
}

// printable drops from a comment what could confuse a terminal or a file.
func printable(comment string) string {
	comment = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, comment)
	if runes := []rune(comment); len(runes) > maxComment {
		comment = string(runes[:maxComment])
	}
	return strings.TrimSpace(comment)
}

func badKey(why string) error {
	return hop3.Errorf(hop3.CodeInvalid, "This is not a public SSH key that can be used. %s", why)
}
