package addons

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"net/http"
	"net/url"
	"slices"

	"github.com/abilian/hop3/hop3/s3"
)

// versityAccounts are users of versitygw, which the policy of a bucket names.
// Its administrator's API is described in
// https://github.com/versity/versitygw/wiki.
type versityAccounts struct{ place *s3Place }

// versityAccount is a user of versitygw. The role "user" may make no buckets.
type versityAccount struct {
	XMLName xml.Name `xml:"Account"`
	Access  string
	Secret  string
	Role    string
}

func (v *versityAccounts) allow(ctx context.Context, bucket, key, secret string) error {
	body, err := xml.Marshal(versityAccount{Access: key, Secret: secret, Role: "user"})
	if err != nil {
		return err
	}
	if err := v.call(ctx, "create-user", nil, body); err != nil && s3.Code(err) != "XAdminUserExists" {
		return err
	}
	return v.change(ctx, bucket, func(keys []string) []string {
		if slices.Contains(keys, key) {
			return keys
		}
		return append(keys, key)
	})
}

func (v *versityAccounts) deny(ctx context.Context, bucket, key string) error {
	err := v.change(ctx, bucket, func(keys []string) []string {
		return slices.DeleteFunc(keys, func(k string) bool { return k == key })
	})
	if err != nil && s3.Code(err) != "NoSuchBucket" {
		return err
	}
	if err := v.call(ctx, "delete-user", url.Values{"access": {key}}, nil); err != nil && s3.Code(err) != "XAdminUserNotFound" {
		return err
	}
	return nil
}

// forget has nothing to do: the policy went with its bucket.
func (*versityAccounts) forget(context.Context, string) error { return nil }

// change changes the keys that the policy of a bucket names in our statements.
// Others' statements stay as they are.
func (v *versityAccounts) change(ctx context.Context, bucket string, change func([]string) []string) error {
	text, err := v.place.client.GetBucketPolicy(ctx, bucket)
	if err != nil {
		return err
	}
	var p s3Policy
	if text != "" {
		if err := json.Unmarshal([]byte(text), &p); err != nil {
			return err
		}
	}
	var keys []string
	p.Statement = slices.DeleteFunc(p.Statement, func(raw json.RawMessage) bool {
		var s policyStatement
		if json.Unmarshal(raw, &s) != nil || (s.Sid != sidBucket && s.Sid != sidObjects) {
			return false
		}
		if s.Sid == sidBucket && s.Principal != nil {
			keys = s.Principal.AWS
		}
		return true
	})
	if keys = change(keys); len(keys) > 0 {
		p.Statement = append(p.Statement, bucketStatements(bucket, keys)...)
	}
	if len(p.Statement) == 0 {
		return v.place.client.SetBucketPolicy(ctx, bucket, "")
	}
	p.Version = "2012-10-17"
	document, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return v.place.client.SetBucketPolicy(ctx, bucket, string(document))
}

func (v *versityAccounts) call(ctx context.Context, verb string, query url.Values, body []byte) error {
	target := v.place.Endpoint + "/" + verb
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPatch, target, bytes.NewReader(body))
	if err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	r.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))
	_, err = v.place.admin(r)
	return err
}

// unmarshalXML leaves what it cannot read as it is.
func unmarshalXML(text []byte, into any) { _ = xml.Unmarshal(text, into) }
