package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/hop3test"
)

func open(t *testing.T, s hop3test.S3) *minio.Client {
	t.Helper()
	c, err := Server{Endpoint: s.Endpoint, AccessKey: s.AccessKey, SecretKey: s.SecretKey, PathStyle: true}.Client()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// hostile are keys that a file, a shell or a tar archive would trip over.
var hostile = []string{
	"plain.txt", "a b/c+d/e&f=g.txt", "-rf", "$(reboot)`id`", "100%/%2e%2e/x", "quo\"te'\\back", "ünïcödé/日本語/🙂.png",
	"line\nbreak", "tab\there", "<xml>&amp;", "dots/...", "a;b|c", strings.Repeat("long/", 40) + "end", "semi:colon?query#hash",
}

func fill(t *testing.T, c *minio.Client, bucket string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for i, key := range hostile {
		body := fmt.Sprintf("body %d", i)
		all[key] = body
		_, err := c.PutObject(t.Context(), bucket, key, strings.NewReader(body), int64(len(body)), minio.PutObjectOptions{
			ContentType: "text/x-test", CacheControl: "max-age=5", ContentDisposition: `attachment; filename="x"`, ContentLanguage: "fr",
			UserMetadata: map[string]string{"Owner": "ada", "content-kind": "x"}, UserTags: map[string]string{"kind": "a b=c/d"},
			Expires: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC),
		})
		if err != nil {
			t.Fatalf("%q: %v", key, err)
		}
	}
	return all
}

func contents(t *testing.T, c *minio.Client, bucket string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for listed, err := range Objects(t.Context(), c, bucket, "") {
		if err != nil {
			t.Fatal(err)
		}
		o, err := c.GetObject(t.Context(), bucket, listed.Key, minio.GetObjectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(o)
		if err != nil {
			t.Fatalf("%q: %v", listed.Key, err)
		}
		all[listed.Key] = string(text)
	}
	return all
}

func TestDumpAndRestore(t *testing.T) {
	hop3test.StartS3(t, func(t *testing.T, s hop3test.S3) {
		c := open(t, s)
		ctx := t.Context()
		for _, bucket := range []string{"from", "onto"} {
			if err := errors.Join(Make(ctx, c, bucket, ""), Make(ctx, c, bucket, "")); err != nil {
				t.Fatal(err)
			}
		}
		want := fill(t, c, "from")
		var dump bytes.Buffer
		dumped, err := Dump(ctx, c, "from", &dump)
		if err != nil {
			t.Fatal(err)
		}
		counted, err := Count(ctx, c, "from")
		if err != nil || !maps.Equal(counted, dumped) || counted["objects"] != int64(len(want)) {
			t.Errorf("dumped %v, counted %v, %v", dumped, counted, err)
		}
		// A file that is in the way of a directory, and what must go.
		for _, key := range []string{"dots", "other/thing"} {
			if _, err := c.PutObject(ctx, "onto", key, strings.NewReader("old"), 3, minio.PutObjectOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		t.Run("what is cut off or damaged changes nothing", func(t *testing.T) {
			for what, text := range map[string]string{
				"empty": "", "half": dump.String()[:dump.Len()/2], "without its end": dump.String()[:dump.Len()-4096], "no tar": strings.Repeat("x", 2048),
				"in a file": dump.String()[:1536+512+3],
			} {
				err := Restore(ctx, c, "onto", "", strings.NewReader(text))
				if hop3.CodeOf(err) != hop3.CodeInvalid {
					t.Errorf("%s: %v", what, err)
				}
			}
			if got := contents(t, c, "onto"); !maps.Equal(got, map[string]string{"dots": "old", "other/thing": "old"}) {
				t.Errorf("there is now %q", got)
			}
		})
		if err := Restore(ctx, c, "onto", "", bytes.NewReader(dump.Bytes())); err != nil {
			t.Fatal(err)
		}
		if got := contents(t, c, "onto"); !maps.Equal(got, want) {
			t.Errorf("restored %q", got)
		}
		counted, err = Count(ctx, c, "onto")
		if err != nil || !maps.Equal(counted, dumped) {
			t.Errorf("dumped %v, restored %v, %v", dumped, counted, err)
		}
		checkObject(t, c, "onto", "-rf")
		if there, err := c.BucketExists(ctx, staging("onto")); there || err != nil {
			t.Errorf("what it was unpacked to is still there: %v", err)
		}
	})
}

// checkObject compares all but the bytes with what fill has sent.
func checkObject(t *testing.T, c *minio.Client, bucket, key string) {
	t.Helper()
	info, err := c.StatObject(t.Context(), bucket, key, minio.StatObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"Content-Type": "text/x-test", "Cache-Control": "max-age=5", "Content-Disposition": `attachment; filename="x"`, "Content-Language": "fr",
		"Expires": "Wed, 02 Jan 2030 03:04:05 GMT", "X-Amz-Meta-Owner": "ada", "X-Amz-Meta-Content-Kind": "x", "Content-Encoding": "",
	} {
		if got := info.Headers.Get(name); got != want {
			t.Errorf("%s is %q, not %q", name, got, want)
		}
	}
	tags, err := c.GetObjectTagging(t.Context(), bucket, key, minio.GetObjectTaggingOptions{})
	if err != nil || tags.ToMap()["kind"] != "a b=c/d" {
		t.Errorf("the tags are %v, %v", tags, err)
	}
}

// TestLargeObjects has objects sent, and copied, in parts: what S3 wants from 5
// GiB on, here from 8 MiB.
func TestLargeObjects(t *testing.T) {
	small := maxCopy
	maxCopy = 8 << 20
	t.Cleanup(func() { maxCopy = small })
	hop3test.StartS3(t, func(t *testing.T, s hop3test.S3) {
		c := open(t, s)
		ctx := t.Context()
		if err := Make(ctx, c, "large", ""); err != nil {
			t.Fatal(err)
		}
		data := make([]byte, 21<<20+7)
		for i := 0; i < len(data); i += 4 << 10 {
			data[i] = byte(rand.IntN(256))
		}
		o := object{Headers: map[string]string{"Content-Type": "text/x-test", "Content-Encoding": "br"}, Metadata: map[string]string{"owner": "ada"}, Tags: map[string]string{"k": "v"}}
		if _, err := c.PutObject(ctx, "large", "it", bytes.NewReader(data), int64(len(data)), o.putOptions()); err != nil {
			t.Fatal(err)
		}
		var dump bytes.Buffer
		if _, err := Dump(ctx, c, "large", &dump); err != nil {
			t.Fatal(err)
		}
		if err := Restore(ctx, c, "large", "", &dump); err != nil {
			t.Fatal(err)
		}
		if contents(t, c, "large")["it"] != string(data) {
			t.Error("the object is another one")
		}
		info, err := c.StatObject(ctx, "large", "it", minio.StatObjectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		h := info.Headers
		if h.Get("Content-Type") != "text/x-test" || h.Get("Content-Encoding") != "br" || h.Get("X-Amz-Meta-Owner") != "ada" || info.UserTagCount != 1 {
			t.Errorf("it has %v", h)
		}
	})
}

func TestRemove(t *testing.T) {
	hop3test.StartS3(t, func(t *testing.T, s hop3test.S3) {
		c := open(t, s)
		ctx := t.Context()
		if err := Make(ctx, c, "full", ""); err != nil {
			t.Fatal(err)
		}
		if err := c.EnableVersioning(ctx, "full"); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			fill(t, c, "full")
		}
		if err := c.RemoveObject(ctx, "full", "-rf", minio.RemoveObjectOptions{}); err != nil {
			t.Fatal(err)
		}
		core := minio.Core{Client: c}
		for range 2 {
			id, err := core.NewMultipartUpload(ctx, "full", "half/sent", minio.PutObjectOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := core.PutObjectPart(ctx, "full", "half/sent", id, 1, strings.NewReader("part"), 4, minio.PutObjectPartOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			if err := Remove(ctx, c, "full"); err != nil {
				t.Fatal(err)
			}
		}
		if there, err := c.BucketExists(ctx, "full"); there || err != nil {
			t.Errorf("the bucket is there: %v, %v", there, err)
		}
	})
}

func TestExplain(t *testing.T) {
	nobody := Server{Endpoint: "http://127.0.0.1:1", AccessKey: "a", SecretKey: "hidden-secret", PathStyle: true}
	c, err := nobody.Client()
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.BucketExists(t.Context(), "bucket")
	err = nobody.Explain(err)
	if hop3.CodeOf(err) != hop3.CodeUnavailable || !strings.Contains(err.Error(), "http://127.0.0.1:1 does not answer") || strings.Contains(err.Error(), "hidden") {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = c.BucketExists(ctx, "bucket")
	if err = nobody.Explain(err); hop3.CodeOf(err) != hop3.CodeCanceled {
		t.Errorf("%v", err)
	}
	s := hop3test.StartVersitygw(t)
	wrong := Server{Endpoint: s.Endpoint, AccessKey: s.AccessKey, SecretKey: "hidden-secret", PathStyle: true}
	if c, err = wrong.Client(); err != nil {
		t.Fatal(err)
	}
	_, err = c.ListBuckets(t.Context())
	if err = wrong.Explain(err); hop3.CodeOf(err) != hop3.CodeUnavailable || !strings.Contains(err.Error(), "refuses the key") || strings.Contains(err.Error(), "hidden") {
		t.Errorf("%v", err)
	}
}
