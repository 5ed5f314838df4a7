package addons

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/signer"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/s3"
)

// s3Place is a server that buckets are on, opened with the key of its
// administrator.
type s3Place struct {
	s3.Server
	kind     string
	service  string // of our own; "" for the configured one
	client   *minio.Client
	accounts s3Accounts // nil where the server has no keys that open one bucket
}

// s3Accounts makes, on servers of one kind, keys that open one bucket. Errors
// are those of the server.
type s3Accounts interface {
	// allow has a key open a bucket, beside those that do already. It is no
	// error when it does.
	allow(ctx context.Context, bucket, key, secret string) error
	// deny removes a key; one that is not there is no error.
	deny(ctx context.Context, bucket, key string) error
	// forget removes what is left once a bucket and its keys are gone.
	forget(ctx context.Context, bucket string) error
}

// The kinds of servers.
const (
	kindMinIO     = "minio"
	kindVersitygw = "versitygw"
	kindGeneric   = "generic"
	kindGiven     = "given" // a bucket that is there, with its key
)

// choose says where a new addon will be.
func (p *S3) choose(ctx context.Context, a hop3.Addon) (*s3Place, error) {
	if p.server.Setting("S3_ENDPOINT") == "" {
		service := s3SharedService
		if a.Dedicated {
			service = "s3-" + bucketName(a.Name) // which begins with hop3-
		}
		return p.ownPlace(ctx, service, true)
	}
	if a.Dedicated {
		return nil, hop3.Errorf(hop3.CodeInvalid, "an S3 addon has no server of its own where S3_ENDPOINT of the server's settings names one for all")
	}
	place := p.configured()
	place.kind = p.server.Setting("HOP3_S3_BACKEND")
	if place.kind == "" {
		var err error
		if place.kind, err = recogniseS3(ctx, place.Endpoint); err != nil {
			return nil, place.explain(err)
		}
	}
	return place, place.open()
}

// placeOf says where an addon is.
func (p *S3) placeOf(ctx context.Context, d hop3.AddonDetails) (*s3Place, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if d[s3Service] != "" {
		return p.ownPlace(ctx, d[s3Service], false)
	}
	if d[s3Backend] == kindGiven {
		place := &s3Place{kind: kindGiven, Server: appServer(d)}
		return place, place.open()
	}
	place := p.configured()
	if place.Endpoint == "" {
		return nil, hop3.Errorf(hop3.CodeUnavailable, "the addon is on the S3 server %s, whose key is not in the server's settings any more", d[s3Endpoint]).
			WithHint("S3_ENDPOINT, S3_ACCESS_KEY and S3_SECRET_KEY say how to reach it.")
	}
	place.Endpoint, place.Region, place.PathStyle, place.kind = d[s3Endpoint], d[s3Region], d[s3PathStyle] == "true", d[s3Backend]
	return place, place.open()
}

// configured is the server that the settings name.
func (p *S3) configured() *s3Place {
	set := p.server.Setting
	place := &s3Place{Server: s3.Server{
		Endpoint: set("S3_ENDPOINT"), Region: set("S3_REGION"), AccessKey: set("S3_ACCESS_KEY"), SecretKey: set("S3_SECRET_KEY"),
		PathStyle: set("S3_USE_PATH_STYLE") != "false",
	}}
	if place.Region == "" {
		place.Region = s3.DefaultRegion
	}
	return place
}

func (l *s3Place) open() error {
	var err error
	if l.client, err = l.Client(); err != nil {
		return err
	}
	switch l.kind {
	case kindMinIO:
		l.accounts = &minioAccounts{l}
	case kindVersitygw:
		l.accounts = &versityAccounts{l}
	}
	return nil
}

// recogniseS3 asks a server what it is.
func recogniseS3(ctx context.Context, endpoint string) (string, error) {
	ask, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint+"/", nil)
	if err != nil {
		return "", err
	}
	answer, err := s3.Transport.RoundTrip(ask)
	if err != nil {
		return "", err
	}
	answer.Body.Close()
	switch answer.Header.Get("Server") {
	case "MinIO":
		return kindMinIO, nil
	case "VERSITYGW":
		return kindVersitygw, nil
	}
	return kindGeneric, nil
}

// explain makes a sentence of a server's error, with what to do about it.
func (l *s3Place) explain(err error) error {
	err = l.Explain(err)
	var said *hop3.Error
	if err == nil || !errors.As(err, &said) || said.Hint != "" || said.Code != hop3.CodeUnavailable {
		return err
	}
	hinted := *said
	if l.kind == kindGiven {
		return hinted.WithHint("Are the endpoint, the bucket and the key right that the addon was made with?")
	}
	if l.service != "" {
		return hinted.WithHint("It is Hop3's own service %s.", l.service)
	}
	return hinted.WithHint("S3_ENDPOINT, S3_ACCESS_KEY and S3_SECRET_KEY of the server's settings say where it is, and the key of its administrator.")
}

// noKeys is for an addon with a key of its own on a server that has none.
func (l *s3Place) noKeys() error {
	return hop3.Errorf(hop3.CodeUnavailable, "the S3 server %s, of the kind %q, has no keys that open one bucket", l.Endpoint, l.kind).
		WithHint("Was the addon made on another server?")
}

// revoke ends the key of details, unless it is the server's own.
func (l *s3Place) revoke(ctx context.Context, bucket string, d hop3.AddonDetails) error {
	if d == nil || d[s3Shared] == "true" || d[s3AccessKey] == "" {
		return nil
	}
	if l.accounts == nil {
		return l.noKeys()
	}
	return l.explain(l.accounts.deny(ctx, bucket, d[s3AccessKey]))
}

// maxAnswer is more than any answer of an administrator's API, in bytes.
const maxAnswer = 1 << 20

// admin sends a request that is signed as those of S3 are. An answer that is no
// success is a minio.ErrorResponse.
func (l *s3Place) admin(r *http.Request) ([]byte, error) {
	r = signer.SignV4(*r, l.AccessKey, l.SecretKey, "", l.Region)
	answer, err := s3.Transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	if answer.StatusCode/100 != 2 {
		return nil, adminError(answer, text)
	}
	return text, nil
}

// What an app may do with its bucket: all that is about objects, but not what
// decides who else may, and not the removal of the bucket.
var (
	bucketActions = []string{
		"s3:ListBucket", "s3:ListBucketVersions", "s3:ListBucketMultipartUploads", "s3:GetBucketLocation", "s3:GetBucketVersioning",
	}
	objectActions = []string{
		"s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:GetObjectVersion", "s3:DeleteObjectVersion", "s3:GetObjectAttributes",
		"s3:GetObjectTagging", "s3:PutObjectTagging", "s3:DeleteObjectTagging", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts",
	}
)

// s3Policy is a policy of S3: of an account where nobody is named, otherwise of a
// bucket.
type s3Policy struct {
	Version   string            `json:"Version"`
	Statement []json.RawMessage `json:"Statement"`
}

type policyStatement struct {
	Sid       string         `json:"Sid,omitempty"`
	Effect    string         `json:"Effect"`
	Principal *principalList `json:"Principal,omitempty"`
	Action    []string       `json:"Action"`
	Resource  []string       `json:"Resource"`
}

type principalList struct {
	AWS []string `json:"AWS"`
}

// The statements of ours in the policy of a bucket.
const (
	sidBucket  = "Hop3Bucket"
	sidObjects = "Hop3Objects"
)

// bucketStatements allow keys, or whose policy it is, to use a bucket.
func bucketStatements(bucket string, keys []string) []json.RawMessage {
	var who *principalList
	if keys != nil {
		who = &principalList{AWS: slices.Sorted(slices.Values(keys))}
	}
	var list []json.RawMessage
	for _, s := range []policyStatement{
		{Sid: sidBucket, Effect: "Allow", Principal: who, Action: bucketActions, Resource: []string{"arn:aws:s3:::" + bucket}},
		{Sid: sidObjects, Effect: "Allow", Principal: who, Action: objectActions, Resource: []string{"arn:aws:s3:::" + bucket + "/*"}},
	} {
		text, _ := json.Marshal(s) // of strings only
		list = append(list, text)
	}
	return list
}
