package addons

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/hop3test"
	"github.com/abilian/hop3/hop3/s3"
)

// s3App opens the S3 of an app by its variables alone.
func s3App(env hop3.Env) (*minio.Client, error) {
	return s3.Server{
		Endpoint: env["S3_ENDPOINT"], Region: env["AWS_REGION"], AccessKey: env["AWS_ACCESS_KEY_ID"], SecretKey: env["S3_SECRET_KEY"],
		PathStyle: env["S3_USE_PATH_STYLE"] == "true",
	}.Client()
}

// s3Key is a key that every server takes.
func s3Key(key string) string { return "of/the test/" + hex.EncodeToString([]byte(key)) + ".txt" }

func s3Write(ctx context.Context, env hop3.Env, key, value string) error {
	c, err := s3App(env)
	if err != nil {
		return err
	}
	_, err = c.PutObject(ctx, env["S3_BUCKET"], s3Key(key), strings.NewReader(value), int64(len(value)), minio.PutObjectOptions{ContentType: "text/plain"})
	return err
}

func s3Read(ctx context.Context, env hop3.Env, key string) (string, error) {
	c, err := s3App(env)
	if err != nil {
		return "", err
	}
	o, err := c.GetObject(ctx, env["S3_BUCKET"], s3Key(key), minio.GetObjectOptions{})
	if err != nil {
		return "", err
	}
	defer o.Close()
	text, err := io.ReadAll(o)
	if s3.Code(err) == "NoSuchKey" {
		return "", nil
	}
	return string(text), err
}

// s3Trespass tries, with the key of one app, all it can on another's bucket and
// on the server.
func s3Trespass(ctx context.Context, env, other hop3.Env, key string) error {
	c, err := s3App(env)
	if err != nil {
		return err
	}
	bucket, object := other["S3_BUCKET"], s3Key(key)
	there := other.Merge(hop3.Env{"AWS_ACCESS_KEY_ID": env["AWS_ACCESS_KEY_ID"], "S3_SECRET_KEY": env["S3_SECRET_KEY"]})
	tried := map[string]error{"write": s3Write(ctx, there, key, "changed")}
	if text, err := s3Read(ctx, there, key); err == nil {
		tried["read"] = nil
	} else if text == "" {
		tried["read"] = err
	}
	for _, err := range s3.Objects(ctx, c, bucket, "") {
		tried["list"] = err
	}
	_, tried["stat"] = c.StatObject(ctx, bucket, object, minio.StatObjectOptions{})
	tried["remove"] = c.RemoveObject(ctx, bucket, object, minio.RemoveObjectOptions{})
	tried["remove the bucket"] = c.RemoveBucket(ctx, bucket)
	_, tried["copy"] = c.CopyObject(ctx, minio.CopyDestOptions{Bucket: env["S3_BUCKET"], Object: "stolen"}, minio.CopySrcOptions{Bucket: bucket, Object: object})
	tried["make a bucket"] = c.MakeBucket(ctx, "made-by-an-app", minio.MakeBucketOptions{})
	for _, b := range []string{bucket, env["S3_BUCKET"]} {
		all := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["*"]},"Action":["s3:*"],"Resource":["arn:aws:s3:::%s","arn:aws:s3:::%s/*"]}]}`, b, b)
		tried["set the policy of "+b] = c.SetBucketPolicy(ctx, b, all)
	}
	tried["remove its own bucket"] = c.RemoveBucket(ctx, env["S3_BUCKET"])
	place := &s3Place{Server: s3.Server{Endpoint: env["S3_ENDPOINT"], Region: env["S3_REGION"], AccessKey: env["S3_ACCESS_KEY"], SecretKey: env["S3_SECRET_KEY"], PathStyle: true}, client: c}
	tried["make a user of versitygw"] = (&versityAccounts{place}).call(ctx, "create-user", nil, []byte("<Account><Access>intruder</Access><Secret>intruder1</Secret><Role>admin</Role></Account>"))
	tried["make a user of MinIO"] = (&minioAccounts{place}).allow(ctx, bucket, "intruder", "intruder1")
	buckets, err := c.ListBuckets(ctx)
	for _, b := range buckets {
		if b.Name != env["S3_BUCKET"] {
			tried["list buckets"] = nil
		}
	}
	all := []error{err}
	for what, err := range tried {
		if err == nil {
			fmt.Println("an app can " + what)
			return nil
		}
		all = append(all, err)
	}
	return errors.Join(append(all, errors.New("nothing worked"))...)
}

func s3Settings(s hop3test.S3) map[string]string {
	return map[string]string{"S3_ENDPOINT": s.Endpoint, "S3_ACCESS_KEY": s.AccessKey, "S3_SECRET_KEY": s.SecretKey}
}

func TestS3(t *testing.T) {
	hop3test.StartS3(t, func(t *testing.T, s hop3test.S3) {
		settings := s3Settings(s)
		with := func(key, value string) hop3test.AddonServer {
			changed := maps.Clone(settings)
			changed[key] = value
			return hop3test.AddonServer{Settings: changed}
		}
		hop3test.Addon(t, new(S3), hop3test.AddonServer{Settings: settings}, hop3test.AddonClient{
			Variables: []string{
				"S3_ENDPOINT", "S3_BUCKET", "S3_ACCESS_KEY", "S3_SECRET_KEY", "S3_REGION", "S3_USE_PATH_STYLE",
				"AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION",
			},
			Broken: map[string]hop3.AddonServer{"a wrong secret": with("S3_SECRET_KEY", "not-the-secret"), "a wrong key": with("S3_ACCESS_KEY", "nobody")},
			Write:  s3Write, Read: s3Read, Trespass: s3Trespass,
		})
	})
}
