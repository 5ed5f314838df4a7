package auth

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"

	"github.com/abilian/hop3/hop3"
)

// The cost of one hash: what OWASP recommends for argon2id with little memory.
// A small server must survive people logging in.
const (
	hashTime    = 2
	hashMemory  = 19 << 10 // KiB
	hashThreads = 1
	hashLen     = 32
	saltLen     = 16

	// maxHashing bounds how many hashes are computed at the same time, and so
	// the memory that strangers can make us use.
	maxHashing = 2
)

// Bounds on the parameters of hashes that we verify: they may come from an
// import, and must not be able to hurt.
const (
	maxHashTime   = 16
	maxHashMemory = 256 << 10
	maxPassword   = 1024
)

// MinPassword is the length of the shortest password, in bytes.
const MinPassword = 8

// HashPassword returns the argon2id hash of a password as a PHC string.
func (a *Auth) HashPassword(password string) (string, error) {
	if len(password) < MinPassword {
		return "", hop3.Errorf(hop3.CodeInvalid, "a password needs at least %d characters", MinPassword)
	}
	if len(password) > maxPassword {
		return "", hop3.Errorf(hop3.CodeInvalid, "a password has at most %d bytes", maxPassword)
	}
	salt := make([]byte, saltLen)
	rand.Read(salt)
	p := phc{memory: hashMemory, time: hashTime, threads: hashThreads, salt: salt}
	p.sum = a.derive(password, p, hashLen)
	return p.String(), nil
}

// VerifyPassword reports whether hash is password's. An empty or broken hash
// is nobody's, and takes the same time to say so.
func (a *Auth) VerifyPassword(hash, password string) bool {
	p, ok := parsePHC(hash)
	if !ok {
		p = phc{memory: hashMemory, time: hashTime, threads: hashThreads, salt: make([]byte, saltLen), sum: make([]byte, hashLen)}
	}
	if len(password) > maxPassword {
		return false
	}
	sum := a.derive(password, p, uint32(len(p.sum)))
	return subtle.ConstantTimeCompare(sum, p.sum) == 1 && ok
}

func (a *Auth) derive(password string, p phc, length uint32) []byte {
	a.hashing <- struct{}{}
	defer func() { <-a.hashing }()
	return argon2.IDKey([]byte(password), p.salt, p.time, p.memory, p.threads, length)
}

// phc is an argon2id hash with its parameters.
type phc struct {
	memory, time uint32
	threads      uint8
	salt, sum    []byte
}

func (p phc) String() string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version,
		p.memory, p.time, p.threads, b64.EncodeToString(p.salt), b64.EncodeToString(p.sum))
}

func parsePHC(s string) (p phc, ok bool) {
	parts := strings.Split(s, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return p, false
	}
	if n, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &p.memory, &p.time, &p.threads); n != 3 || err != nil {
		return p, false
	}
	if p.time < 1 || p.time > maxHashTime || p.memory > maxHashMemory || p.threads < 1 {
		return p, false
	}
	var err1, err2 error
	p.salt, err1 = base64.RawStdEncoding.DecodeString(parts[4])
	p.sum, err2 = base64.RawStdEncoding.DecodeString(parts[5])
	return p, err1 == nil && err2 == nil && len(p.salt) >= 8 && len(p.salt) <= 64 && len(p.sum) >= 16 && len(p.sum) <= 64
}
