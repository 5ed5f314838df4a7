package store

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/abilian/hop3/hop3"
)

// sealed begins every sealed value. Plain ones are JSON and begin with '{'.
const sealed = "v1:"

// sealer encrypts the columns that hold secrets. The zero value leaves them
// plain.
type sealer struct{ aead cipher.AEAD }

func newSealer(secret []byte) (sealer, error) {
	if len(secret) == 0 {
		return sealer{}, nil
	}
	key, err := hkdf.Key(sha256.New, secret, nil, "hop3 database columns v1", 32)
	if err != nil {
		return sealer{}, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return sealer{}, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return sealer{aead: aead}, err
}

// seal encrypts text. What is sealed for one place opens at no other, so rows
// cannot be swapped.
func (s sealer) seal(place, text string) string {
	if s.aead == nil {
		return text
	}
	return sealed + base64.StdEncoding.EncodeToString(s.aead.Seal(nil, nil, []byte(text), []byte(place)))
}

var errSealed = errors.New("sealed with another secret")

func (s sealer) open(place, value string) (string, error) {
	encoded, ok := strings.CutPrefix(value, sealed)
	if !ok {
		return value, nil
	}
	data, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || s.aead == nil {
		return "", errSealed
	}
	text, err := s.aead.Open(nil, nil, data, []byte(place))
	if err != nil {
		return "", errSealed
	}
	return string(text), nil
}

func (s sealer) sealEnv(place string, env hop3.Env) (string, error) {
	for k, v := range env {
		// JSON would silently replace the bytes.
		if !utf8.ValidString(k) || !utf8.ValidString(v) {
			return "", hop3.Errorf(hop3.CodeInvalid, "the value of %q is not valid UTF-8", k)
		}
	}
	text, err := json.Marshal(env.Clone())
	return s.seal(place, string(text)), err
}

func (s sealer) openEnv(place, value string) (hop3.Env, error) {
	text, err := s.open(place, value)
	if err != nil {
		return nil, fmt.Errorf("reading the env of %s: %w", place, err)
	}
	env := hop3.Env{}
	if err := json.Unmarshal([]byte(text), &env); err != nil {
		return nil, fmt.Errorf("reading the env of %s: %w", place, err)
	}
	return env, nil
}

// secretCheck is the setting that tells a wrong secret at once: a known text,
// sealed by the first secret the database was opened with.
const secretCheck = "secret_check"

func (db *DB) checkSecret(ctx context.Context) error {
	return db.change(ctx, func(tx *sql.Tx) error {
		var value string
		err := tx.QueryRowContext(ctx, "SELECT value FROM settings WHERE name = $1", secretCheck).Scan(&value)
		if errors.Is(err, sql.ErrNoRows) {
			if db.seal.aead == nil {
				return nil
			}
			_, err = tx.ExecContext(ctx, "INSERT INTO settings (name, value) VALUES ($1, $2)",
				secretCheck, db.seal.seal(secretCheck, "hop3"))
		} else if err == nil {
			_, err = db.seal.open(secretCheck, value)
		}
		if errors.Is(err, errSealed) {
			return hop3.Errorf(hop3.CodeInvalid, "the database %s was sealed with another secret", db.url).
				WithHint("Set HOP3_SECRET_KEY, or the file secret-key in the home, back to what it was.")
		}
		if err != nil {
			return fmt.Errorf("checking the secret: %w", err)
		}
		return nil
	})
}
