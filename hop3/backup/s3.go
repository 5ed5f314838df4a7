package backup

import (
	"cmp"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/abilian/hop3/hop3"
)

// S3Options are where and as whom copies go to an S3-compatible storage.
type S3Options struct {
	Endpoint  string // URL; "" for Amazon's
	Region    string
	AccessKey string
	SecretKey string
}

// partSize is how much of a file goes in one piece, and what a broken
// connection has to send again. An object has at most 10,000 pieces.
const (
	partSize = 16 << 20
	maxParts = 9_000
)

type s3Target struct {
	core           minio.Core
	bucket, prefix string
}

const amazon = "https://s3.amazonaws.com"

// newS3 returns the target s3://bucket/prefix.
func newS3(u *url.URL, o S3Options) (Target, error) {
	endpoint, err := url.Parse(cmp.Or(o.Endpoint, amazon))
	if err != nil || endpoint.Host == "" || endpoint.Scheme != "https" && endpoint.Scheme != "http" {
		return nil, hop3.Errorf(hop3.CodeInvalid, "%.80q is not the URL of an S3 service", o.Endpoint).WithHint("Set BACKUP_S3_ENDPOINT to an address as https://s3.example.org.")
	}
	if o.AccessKey == "" || o.SecretKey == "" {
		return nil, hop3.Errorf(hop3.CodeInvalid, "The storage of backups is s3, and has no keys").WithHint("Set BACKUP_S3_ACCESS_KEY and BACKUP_S3_SECRET_KEY.")
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = 2 * time.Minute
	transport.DisableCompression = true
	client, err := minio.New(endpoint.Host, &minio.Options{
		Creds: credentials.NewStaticV4(o.AccessKey, o.SecretKey, ""), Secure: endpoint.Scheme == "https", Region: o.Region, Transport: transport, MaxRetries: 5,
	})
	if err != nil {
		return nil, hop3.Errorf(hop3.CodeInvalid, "the storage of backups: %w", err)
	}
	return &s3Target{core: minio.Core{Client: client}, bucket: u.Host, prefix: strings.Trim(u.Path, "/")}, nil
}

// URL implements Target.
func (t *s3Target) URL() string {
	return strings.TrimSuffix("s3://"+t.bucket+"/"+t.prefix, "/")
}

func (t *s3Target) key(name string) string { return path.Join(t.prefix, name) }

// explain makes a sentence of what the service says.
func (t *s3Target) explain(err error) error {
	var answer minio.ErrorResponse
	switch {
	case err == nil || errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &answer) && (answer.Code == "NoSuchKey" || answer.StatusCode == http.StatusNotFound && answer.Code != "NoSuchBucket"):
		return fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	case errors.As(err, &answer) && answer.Code == "NoSuchBucket":
		return hop3.Errorf(hop3.CodeUnavailable, "there is no bucket '%s'", t.bucket).WithHint("Make it, or change BACKUP_TARGET.")
	case errors.As(err, &answer) && (answer.StatusCode == http.StatusForbidden || answer.StatusCode == http.StatusUnauthorized):
		return hop3.Errorf(hop3.CodeUnavailable, "the S3 service refuses the server's keys for the bucket '%s' (%s)", t.bucket, answer.Code).
			WithHint("Check BACKUP_S3_ACCESS_KEY and BACKUP_S3_SECRET_KEY.")
	}
	return hop3.Errorf(hop3.CodeUnavailable, "the S3 service does not work: %w", err)
}

// Begin implements Target.
func (t *s3Target) Begin(ctx context.Context) error {
	ok, err := t.core.BucketExists(ctx, t.bucket)
	if err == nil && !ok {
		err = minio.ErrorResponse{Code: "NoSuchBucket"}
	}
	return t.explain(err)
}

// Get implements Target.
func (t *s3Target) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	in, _, _, err := t.core.GetObject(ctx, t.bucket, t.key(name), minio.GetObjectOptions{})
	return in, t.explain(err)
}

// Put implements Target.
func (t *s3Target) Put(ctx context.Context, name, file string, sent func(bytes int64)) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if sent == nil {
		sent = func(int64) {}
	}
	if info.Size() <= partSize {
		_, err := t.core.Client.PutObject(ctx, t.bucket, t.key(name), f, info.Size(), minio.PutObjectOptions{ContentType: "application/octet-stream", DisableMultipart: true})
		sent(info.Size())
		return t.explain(err)
	}
	return t.explain(t.putParts(ctx, t.key(name), f, info.Size(), sent))
}

// putParts sends a file in pieces; those that an earlier attempt has sent, and
// that are what they should be, are not sent again.
func (t *s3Target) putParts(ctx context.Context, key string, f io.ReaderAt, size int64, moved func(int64)) error {
	each := max(int64(partSize), (size/maxParts+1<<20)>>20<<20)
	id, sent, err := t.unfinished(ctx, key)
	if err == nil && id == "" {
		id, err = t.core.NewMultipartUpload(ctx, t.bucket, key, minio.PutObjectOptions{ContentType: "application/octet-stream"})
	}
	if err != nil {
		return err
	}
	var parts []minio.CompletePart
	for n, from := 1, int64(0); from < size; n, from = n+1, from+each {
		length := min(each, size-from)
		etag, err := t.putPart(ctx, key, id, n, io.NewSectionReader(f, from, length), length, sent[n])
		if err != nil {
			return err
		}
		moved(length)
		parts = append(parts, minio.CompletePart{PartNumber: n, ETag: etag})
	}
	_, err = t.core.CompleteMultipartUpload(ctx, t.bucket, key, id, parts, minio.PutObjectOptions{})
	return err
}

func (t *s3Target) putPart(ctx context.Context, key, id string, n int, part *io.SectionReader, length int64, sent minio.ObjectPart) (etag string, err error) {
	if sent.PartNumber == n && sent.Size == length {
		sum := md5.New()
		if _, err := io.Copy(sum, part); err != nil {
			return "", err
		}
		if hex.EncodeToString(sum.Sum(nil)) == strings.Trim(sent.ETag, `"`) {
			return sent.ETag, nil
		}
		if _, err := part.Seek(0, io.SeekStart); err != nil {
			return "", err
		}
	}
	done, err := t.core.PutObjectPart(ctx, t.bucket, key, id, n, part, length, minio.PutObjectPartOptions{})
	return done.ETag, err
}

// unfinished returns the newest upload of a key that was interrupted, and its
// parts.
func (t *s3Target) unfinished(ctx context.Context, key string) (id string, parts map[int]minio.ObjectPart, err error) {
	found, err := t.core.ListMultipartUploads(ctx, t.bucket, key, "", "", "", 1000)
	if err != nil {
		return "", nil, err
	}
	slices.SortFunc(found.Uploads, func(a, b minio.ObjectMultipartInfo) int { return b.Initiated.Compare(a.Initiated) })
	for _, u := range found.Uploads {
		if u.Key != key {
			continue
		}
		parts = map[int]minio.ObjectPart{}
		for after := 0; ; {
			page, err := t.core.ListObjectParts(ctx, t.bucket, key, u.UploadID, after, 1000)
			if err != nil {
				return "", nil, nil // it has ended meanwhile: a new one begins
			}
			for _, p := range page.ObjectParts {
				parts[p.PartNumber] = p
			}
			if !page.IsTruncated || page.NextPartNumberMarker <= after {
				return u.UploadID, parts, nil
			}
			after = page.NextPartNumberMarker
		}
	}
	return "", nil, nil
}

// Remove implements Target.
func (t *s3Target) Remove(ctx context.Context, dir string, first []string) error {
	for _, name := range first {
		if dir != "" {
			name = path.Join(dir, name)
		}
		if err := t.core.RemoveObject(ctx, t.bucket, t.key(name), minio.RemoveObjectOptions{}); err != nil {
			return t.explain(err)
		}
	}
	if dir == "" {
		return nil
	}
	prefix := t.key(dir) + "/"
	for object := range t.core.Client.ListObjects(ctx, t.bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true}) {
		if object.Err != nil {
			return t.explain(object.Err)
		}
		if err := t.core.RemoveObject(ctx, t.bucket, object.Key, minio.RemoveObjectOptions{}); err != nil {
			return t.explain(err)
		}
	}
	for upload := range t.core.ListIncompleteUploads(ctx, t.bucket, prefix, true) {
		if upload.Err != nil {
			return t.explain(upload.Err)
		}
		if err := t.core.AbortMultipartUpload(ctx, t.bucket, upload.Key, upload.UploadID); err != nil {
			return t.explain(err)
		}
	}
	return nil
}
