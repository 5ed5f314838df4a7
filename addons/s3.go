package addons

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/minio/minio-go/v7"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/s3"
)

func init() {
	caddy.RegisterModule(new(S3))
}

// S3 makes buckets, on the server that S3_ENDPOINT names or on one of Hop3's
// own. Each bucket has a key that opens this bucket only, where the server has
// a way to make such keys.
type S3 struct {
	server hop3.AddonServer
	own    sync.Mutex // held while a service of our own is started
}

// CaddyModule describes the module.
func (*S3) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "hop3.addons.s3", New: func() caddy.Module { return new(S3) }}
}

// Name returns "s3".
func (*S3) Name() string { return "s3" }

// Open keeps the server.
func (p *S3) Open(s hop3.AddonServer) error {
	p.server = s
	return nil
}

// The details of an addon.
const (
	s3Backend   = "backend" // minio, versitygw, generic or given
	s3Service   = "service" // of our own that it is in; "" for the configured server
	s3Endpoint  = "endpoint"
	s3Region    = "region"
	s3PathStyle = "path_style" // "true" or "false"
	s3Bucket    = "bucket"
	s3AccessKey = "access_key"
	s3SecretKey = "secret_key"
	s3Shared    = "shared" // "true": the key is the server's own
)

// Plan settles the bucket's name and its key. It starts a server of our own
// where none is configured. With options it is a bucket that is there already.
func (p *S3) Plan(ctx context.Context, a hop3.Addon) (hop3.AddonDetails, error) {
	if len(a.Options) > 0 {
		return planGiven(a)
	}
	place, err := p.choose(ctx, a)
	if err != nil {
		return nil, err
	}
	d := hop3.AddonDetails{
		s3Backend: place.kind, s3Service: place.service, s3Endpoint: place.Endpoint, s3Region: place.Region,
		s3PathStyle: strconv.FormatBool(place.PathStyle), s3Bucket: bucketName(a.Name),
	}
	if err := place.vacant(ctx, d[s3Bucket]); err != nil {
		return nil, err
	}
	return d, p.giveKey(place, d)
}

// giveKey adds a key to details: one of its own, or the server's where there is
// no other and the admin allows that.
func (p *S3) giveKey(place *s3Place, d hop3.AddonDetails) error {
	if place.accounts != nil {
		d[s3AccessKey] = "hop3-" + d[s3Bucket] + "-" + s3RandomHex(4)
		d[s3SecretKey] = password()
		return nil
	}
	if p.server.Setting("S3_SHARE_KEY") != "true" {
		return hop3.Errorf(hop3.CodeUnavailable, "Hop3 cannot make a key for one bucket on the S3 server %s", place.Endpoint).
			WithHint("With S3_SHARE_KEY=true in the server's settings, all apps with buckets there get its own key, and with it each other's data. " +
				"HOP3_S3_BACKEND says what it is, if it is minio or versitygw after all.")
	}
	d[s3AccessKey], d[s3SecretKey], d[s3Shared] = place.AccessKey, place.SecretKey, "true"
	return nil
}

// Create makes the bucket and the key.
func (p *S3) Create(ctx context.Context, a hop3.Addon) error {
	place, err := p.placeOf(ctx, a.Details)
	if err != nil {
		return err
	}
	if place.kind == kindGiven {
		return place.usable(ctx, a.Details[s3Bucket])
	}
	if err := s3.Make(ctx, place.client, a.Details[s3Bucket], place.Region); err != nil {
		return place.explain(err)
	}
	if a.Details[s3Shared] == "true" {
		return nil
	}
	if place.accounts == nil {
		return place.noKeys()
	}
	return place.explain(place.accounts.allow(ctx, a.Details[s3Bucket], a.Details[s3AccessKey], a.Details[s3SecretKey]))
}

// Destroy removes the keys first, so that nothing is written any more, then the
// bucket with all that is in it.
func (p *S3) Destroy(ctx context.Context, a hop3.Addon) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if own := a.Details[s3Service]; own != "" && a.Dedicated {
		return p.server.Services().Remove(ctx, own)
	}
	place, err := p.placeOf(ctx, a.Details)
	if err != nil {
		return err
	}
	if place.kind == kindGiven {
		return nil // it was there before
	}
	bucket := a.Details[s3Bucket]
	for _, d := range []hop3.AddonDetails{a.Details, a.Next, a.Last} {
		if err := place.revoke(ctx, bucket, d); err != nil {
			return err
		}
	}
	if err := s3.RemoveStaging(ctx, place.client, bucket); err != nil {
		return place.explain(err)
	}
	if err := s3.Remove(ctx, place.client, bucket); err != nil {
		return place.explain(err)
	}
	if place.accounts == nil {
		return nil
	}
	return place.explain(place.accounts.forget(ctx, bucket))
}

// Variables are those of Hop3 and those that the SDKs of AWS look for.
func (*S3) Variables(a hop3.Addon) hop3.Env {
	d := a.Details
	return hop3.Env{
		"S3_ENDPOINT":           d[s3Endpoint],
		"S3_BUCKET":             d[s3Bucket],
		"S3_ACCESS_KEY":         d[s3AccessKey],
		"S3_SECRET_KEY":         d[s3SecretKey],
		"S3_REGION":             d[s3Region],
		"S3_USE_PATH_STYLE":     d[s3PathStyle],
		"AWS_ENDPOINT_URL":      d[s3Endpoint],
		"AWS_ACCESS_KEY_ID":     d[s3AccessKey],
		"AWS_SECRET_ACCESS_KEY": d[s3SecretKey],
		"AWS_REGION":            d[s3Region],
	}
}

// Endpoint is the server's, with the bucket as the path of the URL.
func (*S3) Endpoint(a hop3.Addon) hop3.AddonEndpoint {
	u, err := s3.ParseEndpoint(a.Details[s3Endpoint])
	if err != nil {
		return hop3.AddonEndpoint{}
	}
	port, _ := strconv.Atoi(u.Port())
	switch {
	case port != 0:
	case u.Scheme == "https":
		port = 443
	default:
		port = 80
	}
	u.User, u.Path = url.UserPassword(a.Details[s3AccessKey], a.Details[s3SecretKey]), "/"+a.Details[s3Bucket]
	return hop3.AddonEndpoint{Host: u.Hostname(), Port: port, URL: u.String()}
}

// appServer is the addon's server as the app sees it.
func appServer(d hop3.AddonDetails) s3.Server {
	return s3.Server{
		Endpoint: d[s3Endpoint], Region: d[s3Region], AccessKey: d[s3AccessKey], SecretKey: d[s3SecretKey], PathStyle: d[s3PathStyle] == "true",
	}
}

// statusObjects is up to how many objects a status counts.
const statusObjects = 10_000

// Status uses the bucket as the app does, once it is known that we can.
func (p *S3) Status(ctx context.Context, a hop3.Addon) ([]hop3.AddonFact, error) {
	place, err := p.placeOf(ctx, a.Details)
	if err != nil {
		return nil, err
	}
	if _, err := place.client.BucketExists(ctx, a.Details[s3Bucket]); err != nil {
		return nil, place.explain(err) // the server's own key
	}
	app := appServer(a.Details)
	client, err := app.Client()
	if err != nil {
		return nil, err
	}
	var objects, bytes int64
	for object, err := range s3.Objects(ctx, client, a.Details[s3Bucket], "") {
		if err != nil {
			return nil, place.explain(app.Explain(err))
		}
		if objects == statusObjects {
			break
		}
		objects, bytes = objects+1, bytes+object.Size
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	more := ""
	if objects == statusObjects {
		more = "at least "
	}
	key := "opens this bucket only"
	switch {
	case place.kind == kindGiven:
		key = "one that you gave"
	case a.Details[s3Shared] == "true":
		key = "the server's own (S3_SHARE_KEY): it opens all other buckets, too"
	}
	return []hop3.AddonFact{
		{Property: "Server", Value: a.Details[s3Backend] + " at " + a.Details[s3Endpoint]},
		{Property: "Region", Value: a.Details[s3Region]},
		{Property: "Bucket", Value: a.Details[s3Bucket]},
		{Property: "Key", Value: key},
		{Property: "Objects", Value: fmt.Sprintf("%s%d", more, objects)},
		{Property: "Size", Value: fmt.Sprintf("%s%d bytes", more, bytes)},
	}, nil
}

var (
	bucketSafe  = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,56}[a-z0-9]$`)
	bucketWrong = regexp.MustCompile(`[^a-z0-9]+`)
)

// bucketName is hop3-<name>. A name that no bucket may have gets a similar one,
// made unique by a hash of it.
func bucketName(name string) string {
	if bucketSafe.MatchString(name) {
		return "hop3-" + name
	}
	similar := strings.Trim(bucketWrong.ReplaceAllString(strings.ToLower(name), "-"), "-")
	sum := sha256.Sum256([]byte(name))
	return strings.TrimRight("hop3-"+similar[:min(len(similar), 40)], "-") + "-" + hex.EncodeToString(sum[:4])
}

func s3RandomHex(bytes int) string {
	b := make([]byte, bytes)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// vacant refuses a bucket that is there: it is somebody else's, and would be
// emptied with the addon.
func (l *s3Place) vacant(ctx context.Context, bucket string) error {
	there, err := l.client.BucketExists(ctx, bucket)
	var answer minio.ErrorResponse
	if err != nil && !(errors.As(err, &answer) && answer.StatusCode == 403 && l.foreign(ctx)) {
		return l.explain(err)
	}
	if there || err != nil {
		return hop3.Errorf(hop3.CodeConflict, "the S3 server %s has a bucket %s already", l.Endpoint, bucket).
			WithHint("Give the addon another name; or remove that bucket, if nothing needs it.")
	}
	return nil
}

// foreign reports whether the key is good, so that what it is refused is what
// belongs to others.
func (l *s3Place) foreign(ctx context.Context) bool {
	_, err := l.client.ListBuckets(ctx)
	return err == nil
}

var (
	_ hop3.AddonProvider = (*S3)(nil)
	_ hop3.AddonSharer   = (*S3)(nil)
	_ caddy.Module       = (*S3)(nil)
)
