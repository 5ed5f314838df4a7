package auth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/abilian/hop3/hop3"
)

// Codes are those of RFC 6238 as every telephone makes them: SHA-1, 6 digits,
// 30 seconds. A clock may be one step off, either way.
const (
	totpStep      = 30 * time.Second
	totpDigits    = 6
	totpSkew      = 1
	totpSecret    = 20 // bytes
	recoveryCodes = 8
	recoveryBytes = 10
)

var base32Text = base32.StdEncoding.WithPadding(base32.NoPadding)

// NewSecondFactor returns a second factor with a secret of its own, not yet
// confirmed.
func (a *Auth) NewSecondFactor() hop3.SecondFactor {
	secret := make([]byte, totpSecret)
	rand.Read(secret)
	return hop3.SecondFactor{Secret: base32Text.EncodeToString(secret)}
}

// SecondFactorURL returns what a telephone reads, as a QR code or typed.
func (a *Auth) SecondFactorURL(f hop3.SecondFactor, issuer, username string) string {
	label := url.PathEscape(issuer + ":" + username)
	return "otpauth://totp/" + label + "?" + url.Values{"secret": {f.Secret}, "issuer": {issuer}}.Encode()
}

// NewRecoveryCodes gives the second factor new recovery codes, of which it keeps
// the hashes, and returns them. They have 80 bits: no salt is needed.
func (a *Auth) NewRecoveryCodes(f *hop3.SecondFactor) []string {
	f.Recovery = nil
	codes := make([]string, recoveryCodes)
	for i := range codes {
		b := make([]byte, recoveryBytes)
		rand.Read(b)
		text := strings.ToLower(base32Text.EncodeToString(b))
		codes[i] = strings.Join([]string{text[:4], text[4:8], text[8:12], text[12:]}, "-")
		f.Recovery = append(f.Recovery, recoveryHash(codes[i]))
	}
	return codes
}

// TakeCode reports whether a code proves the second factor, and notes in it
// that the code was taken: it proves nothing a second time.
func (a *Auth) TakeCode(f *hop3.SecondFactor, code string) bool {
	code = strings.ReplaceAll(strings.TrimSpace(code), " ", "")
	if len(code) == totpDigits {
		return a.takeTOTP(f, code)
	}
	i := slices.Index(f.Recovery, recoveryHash(code))
	if i < 0 || !f.Confirmed {
		return false
	}
	f.Recovery = slices.Delete(slices.Clone(f.Recovery), i, i+1)
	return true
}

func (a *Auth) takeTOTP(f *hop3.SecondFactor, code string) bool {
	secret, err := base32Text.DecodeString(f.Secret)
	if err != nil || len(secret) < totpSecret {
		return false
	}
	now := a.now().Unix() / int64(totpStep/time.Second)
	taken := int64(0)
	for step := now - totpSkew; step <= now+totpSkew; step++ {
		if subtle.ConstantTimeCompare([]byte(totp(secret, step)), []byte(code)) == 1 && step > f.LastStep {
			taken = step
		}
	}
	if taken == 0 {
		return false
	}
	f.LastStep = taken
	return true
}

// totp returns the code of a step: RFC 4226, section 5.3.
func totp(secret []byte, step int64) string {
	mac := hmac.New(sha1.New, secret)
	_ = binary.Write(mac, binary.BigEndian, step) // a hash takes everything
	sum := mac.Sum(nil)
	at := sum[len(sum)-1] & 0xf
	value := binary.BigEndian.Uint32(sum[at:at+4]) & 0x7fffffff
	return fmt.Sprintf("%0*d", totpDigits, value%1_000_000)
}

func recoveryHash(code string) string {
	code = strings.ToLower(strings.ReplaceAll(code, "-", ""))
	sum := sha256.Sum256([]byte(code))
	return hex.EncodeToString(sum[:])
}
