package s3

import (
	"bytes"
	"context"
	"io"
	"iter"
	"net/http"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"
)

// ahead is how many requests for objects are under way at a time. For many
// small objects it is the way to the server that takes the time.
const ahead = 8

// fetched is an object on its way.
type fetched struct {
	object   object
	size     int64
	modified time.Time
	body     io.ReadCloser
	err      error
}

// fetch gets the objects of a bucket, in the order of its list. Some are asked
// for ahead; what is small of these is in memory. The caller closes the bodies
// of those it gets.
func fetch(ctx context.Context, c *minio.Client, bucket string) iter.Seq[*fetched] {
	return func(yield func(*fetched) bool) {
		var waiting []chan *fetched
		defer func() {
			for _, w := range waiting {
				if left := <-w; left.body != nil {
					left.body.Close()
				}
			}
		}()
		next := func() bool {
			first := waiting[0]
			waiting = waiting[1:]
			return yield(<-first)
		}
		for listed, err := range Objects(ctx, c, bucket, "") {
			if err != nil {
				yield(&fetched{err: err})
				return
			}
			result := make(chan *fetched, 1)
			waiting = append(waiting, result)
			go func() { result <- get(ctx, c, bucket, listed) }()
			if len(waiting) == ahead && !next() {
				return
			}
		}
		for len(waiting) > 0 {
			if !next() {
				return
			}
		}
	}
}

// get gets an object as it is now, which need not be what was listed.
func get(ctx context.Context, c *minio.Client, bucket string, listed minio.ObjectInfo) *fetched {
	body, info, header, err := minio.Core{Client: c}.GetObject(ctx, bucket, listed.Key, minio.GetObjectOptions{})
	if err != nil {
		return &fetched{err: err}
	}
	f := &fetched{size: info.Size, modified: info.LastModified, body: body, object: object{
		Key: listed.Key, Headers: kept(header), Metadata: info.UserMetadata,
	}}
	if info.UserTagCount > 0 {
		tags, err := c.GetObjectTagging(ctx, bucket, listed.Key, minio.GetObjectTaggingOptions{})
		if err != nil {
			body.Close()
			return &fetched{err: err}
		}
		f.object.Tags = tags.ToMap()
	}
	if f.size <= buffered {
		defer body.Close()
		data, err := io.ReadAll(io.LimitReader(body, buffered+1))
		if err != nil {
			return &fetched{err: err}
		}
		f.body = io.NopCloser(bytes.NewReader(data))
	}
	return f
}

// putOptions are what an object is sent with.
func (o object) putOptions() minio.PutObjectOptions {
	return minio.PutObjectOptions{
		ContentType:             o.Headers["Content-Type"],
		CacheControl:            o.Headers["Cache-Control"],
		ContentDisposition:      o.Headers["Content-Disposition"],
		ContentEncoding:         o.Headers["Content-Encoding"],
		ContentLanguage:         o.Headers["Content-Language"],
		WebsiteRedirectLocation: o.Headers["X-Amz-Website-Redirect-Location"],
		Expires:                 o.expires(),
		UserMetadata:            o.metadata(),
		UserTags:                o.Tags,
		SendContentMd5:          true,
		DisableContentSha256:    true, // it would be sent in chunks, which some servers then write down as an encoding
		NumThreads:              1,    // each of them has a part in memory
	}
}

// kept are the headers of an answer that are part of the object.
func kept(answer http.Header) map[string]string {
	headers := map[string]string{}
	for _, name := range keptHeaders {
		value := answer.Get(name)
		if name == "Content-Encoding" {
			value = withoutChunks(value)
		}
		if value != "" {
			headers[name] = value
		}
	}
	return headers
}

// withoutChunks leaves out of an encoding what is only about how the object was
// sent, which some servers keep.
func withoutChunks(encoding string) string {
	var codings []string
	for coding := range strings.SplitSeq(encoding, ",") {
		if coding = strings.TrimSpace(coding); coding != "" && coding != "aws-chunked" {
			codings = append(codings, coding)
		}
	}
	return strings.Join(codings, ",")
}

// metadata is the metadata under full names, so that none is taken for a header
// of S3's.
func (o object) metadata() map[string]string {
	full := make(map[string]string, len(o.Metadata))
	for name, value := range o.Metadata {
		full["X-Amz-Meta-"+name] = value
	}
	return full
}

func (o object) expires() time.Time {
	at, err := http.ParseTime(o.Headers["Expires"])
	if err != nil {
		return time.Time{}
	}
	return at
}

// replace has a bucket hold what another one does, by copies in the server.
func replace(ctx context.Context, c *minio.Client, from, to string) error {
	if err := Clear(ctx, c, to); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(ahead)
	for listed, err := range Objects(ctx, c, from, "") {
		if err != nil {
			group.Go(func() error { return err })
			break
		}
		group.Go(func() error { return copyObject(ctx, c, from, to, listed) })
	}
	return group.Wait()
}

// maxCopy is the largest object that S3 copies by one request, in bytes.
var maxCopy int64 = 5 << 30

// copyObject copies an object, saying all that it has beside its bytes: copied
// in parts it would lose that, and on MinIO its Expires in any case.
func copyObject(ctx context.Context, c *minio.Client, from, to string, listed minio.ObjectInfo) error {
	info, err := c.StatObject(ctx, from, listed.Key, minio.StatObjectOptions{})
	if err != nil {
		return err
	}
	o := object{Headers: kept(info.Headers), Metadata: info.UserMetadata}
	source := minio.CopySrcOptions{Bucket: from, Object: listed.Key}
	target := minio.CopyDestOptions{Bucket: to, Object: listed.Key, ReplaceMetadata: true, UserMetadata: o.metadata()}
	if info.UserTagCount > 0 {
		tags, err := c.GetObjectTagging(ctx, from, listed.Key, minio.GetObjectTaggingOptions{})
		if err != nil {
			return err
		}
		target.ReplaceTags, target.UserTags = true, tags.ToMap()
	}
	if info.Size <= maxCopy {
		target.ContentType, target.ContentEncoding, target.ContentLanguage = o.Headers["Content-Type"], o.Headers["Content-Encoding"], o.Headers["Content-Language"]
		target.ContentDisposition, target.CacheControl, target.Expires = o.Headers["Content-Disposition"], o.Headers["Cache-Control"], o.expires()
		_, err := c.CopyObject(ctx, target, source)
		return err
	}
	for name, value := range o.Headers { // for parts, the library sends them only so
		target.UserMetadata[name] = value
	}
	target.PartSize = uint64(min(maxCopy, 1<<30))
	_, err = c.ComposeObject(ctx, target, source)
	return err
}
