package addons

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/minio/minio-go/v7"
	"github.com/secure-io/sio-go"
	"golang.org/x/crypto/argon2"

	"github.com/abilian/hop3/hop3/s3"
)

// minioAccounts are users of MinIO, which have one policy for each bucket. What
// is said to its administrator's API is as in
// https://github.com/minio/madmin-go, which is the only description of it.
type minioAccounts struct{ place *s3Place }

func (m *minioAccounts) allow(ctx context.Context, bucket, key, secret string) error {
	document, err := json.Marshal(s3Policy{Version: "2012-10-17", Statement: bucketStatements(bucket, nil)})
	if err != nil {
		return err
	}
	if err := m.put(ctx, "add-canned-policy", url.Values{"name": {policyName(bucket)}}, document); err != nil {
		return err
	}
	user, err := json.Marshal(map[string]string{"secretKey": secret, "status": "enabled"})
	if err != nil {
		return err
	}
	sealed, err := sealForMinIO(m.place.SecretKey, user)
	if err != nil {
		return err
	}
	if err := m.put(ctx, "add-user", url.Values{"accessKey": {key}}, sealed); err != nil {
		return err
	}
	return m.put(ctx, "set-user-or-group-policy", url.Values{"policyName": {policyName(bucket)}, "userOrGroup": {key}, "isGroup": {"false"}}, nil)
}

func (m *minioAccounts) deny(ctx context.Context, _, key string) error {
	err := m.call(ctx, http.MethodDelete, "remove-user", url.Values{"accessKey": {key}}, nil)
	if s3.Code(err) == "XMinioAdminNoSuchUser" {
		return nil
	}
	return err
}

func (m *minioAccounts) forget(ctx context.Context, bucket string) error {
	err := m.call(ctx, http.MethodDelete, "remove-canned-policy", url.Values{"name": {policyName(bucket)}}, nil)
	if s3.Code(err) == "XMinioAdminNoSuchPolicy" {
		return nil
	}
	return err
}

func policyName(bucket string) string { return "hop3-" + bucket }

func (m *minioAccounts) put(ctx context.Context, verb string, query url.Values, body []byte) error {
	return m.call(ctx, http.MethodPut, verb, query, body)
}

func (m *minioAccounts) call(ctx context.Context, method, verb string, query url.Values, body []byte) error {
	r, err := http.NewRequestWithContext(ctx, method, m.place.Endpoint+"/minio/admin/v3/"+verb+"?"+query.Encode(), bytes.NewReader(body))
	if err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	r.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))
	_, err = m.place.admin(r)
	return err
}

// sealForMinIO encrypts what MinIO takes only so, with a key that follows from
// the administrator's secret: 32 bytes of salt, a zero for AES-256-GCM with a
// key of Argon2id, 8 bytes of nonce, and the encrypted stream.
func sealForMinIO(secret string, text []byte) ([]byte, error) {
	salt := make([]byte, 32)
	_, _ = rand.Read(salt) // never fails
	stream, err := sio.AES_256_GCM.Stream(argon2.IDKey([]byte(secret), salt, 1, 64*1024, 4, 32))
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, stream.NonceSize())
	_, _ = rand.Read(nonce)
	var sealed bytes.Buffer
	sealed.Write(salt)
	sealed.WriteByte(0)
	sealed.Write(nonce)
	w := stream.EncryptWriter(&sealed, nonce, nil)
	if _, err := w.Write(text); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return sealed.Bytes(), nil
}

// adminError is what an administrator's API has answered, in XML or JSON.
func adminError(answer *http.Response, text []byte) error {
	e := minio.ErrorResponse{StatusCode: answer.StatusCode}
	if json.Unmarshal(text, &e) != nil {
		unmarshalXML(text, &e)
	}
	if e.Code == "" {
		e.Code = http.StatusText(answer.StatusCode)
	}
	return e
}
