// Package addons are the providers of addons, one file each: databases and
// other services that apps are given. See hop3.AddonProvider for what they
// promise.
package addons

import (
	"crypto/rand"
	"encoding/base64"
	"strings"
)

// password returns a new secret of 256 bits, of letters, digits, '-' and '_'.
func password() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

// identifier is an addon's name as a database's, which has no '-'.
func identifier(name string) string { return strings.ReplaceAll(strings.ToLower(name), "-", "_") }
