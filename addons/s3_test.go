package addons

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io/fs"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/hop3test"
	"github.com/abilian/hop3/hop3/s3"
	"github.com/abilian/hop3/hop3/services/servicestest"
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

// TestS3OfItsOwn is the server that Hop3 runs where none is configured.
func TestS3OfItsOwn(t *testing.T) {
	binary, path := hop3test.VersitygwBinary(t), os.Getenv("PATH")
	server := servicestest.Server(t, nil)
	for _, dedicated := range []bool{false, true} {
		// The sandbox shows services neither /tmp nor the home of who tests.
		own := map[bool]string{false: "s3-shared", true: "s3-hop3-own"}[dedicated]
		dir, err := server.Services().Prepare(t.Context(), own)
		if err != nil {
			t.Fatal(err)
		}
		copyProgram(t, binary, filepath.Join(dir.Data, "versitygw"))
		t.Setenv("PATH", dir.Data+":"+path)
		p := new(S3)
		if err := p.Open(server); err != nil {
			t.Fatal(err)
		}
		a := hop3.Addon{Type: "s3", Name: "own", Dedicated: dedicated}
		if a.Details, err = p.Plan(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		if err := p.Create(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		env := p.Variables(a)
		if err := s3Write(t.Context(), env, "key", "value"); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Status(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		if a.Details[s3Service] != own {
			t.Fatalf("it is in the service %q", a.Details[s3Service])
		}
		for _, secret := range []string{s3OwnFile, "users/users.json"} {
			if info, err := os.Stat(filepath.Join(dir.Data, secret)); err != nil || info.Mode().Perm()&0o077 != 0 && secret == s3OwnFile {
				t.Errorf("%s: %v, %v", secret, info, err)
			}
		}
		// It is found again, with the data, after it ended.
		if err := server.Services().Stop(t.Context(), own); err != nil {
			t.Fatal(err)
		}
		again := new(S3)
		if err := again.Open(server); err != nil {
			t.Fatal(err)
		}
		if _, err := again.Status(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		if got, err := s3Read(t.Context(), env, "key"); err != nil || got != "value" {
			t.Errorf("%q, %v", got, err)
		}
		for range 2 {
			if err := again.Destroy(t.Context(), a); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s3Read(t.Context(), env, "key"); err == nil {
			t.Error("the key still opens the bucket")
		}
		if err := again.Rest(t.Context(), nil); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(filepath.Join(dir.Data, "..", "service.json")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the service %s runs for no addon: %v", own, err)
		}
	}
}

func copyProgram(t *testing.T, from, to string) {
	t.Helper()
	program, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, program, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestS3NotInstalled(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	p := new(S3)
	if err := p.Open(servicestest.Server(t, nil)); err != nil {
		t.Fatal(err)
	}
	_, err := p.Plan(t.Context(), hop3.Addon{Type: "s3", Name: "none"})
	if hop3.CodeOf(err) != hop3.CodeUnavailable || !strings.Contains(err.Error(), "S3_ENDPOINT") {
		t.Errorf("%v", err)
	}
}

// TestS3SharedKey is a server that has no keys for single buckets, or none that
// we know how to make.
func TestS3SharedKey(t *testing.T) {
	s := hop3test.StartVersitygw(t)
	settings := s3Settings(s)
	settings["HOP3_S3_BACKEND"] = "generic"
	p := new(S3)
	if err := p.Open(hop3test.AddonServer{Settings: settings}); err != nil {
		t.Fatal(err)
	}
	a := hop3.Addon{Type: "s3", Name: "shared"}
	_, err := p.Plan(t.Context(), a)
	if hop3.CodeOf(err) != hop3.CodeUnavailable || !strings.Contains(err.Error(), "S3_SHARE_KEY=true") {
		t.Errorf("without leave: %v", err)
	}
	settings["S3_SHARE_KEY"] = "true"
	if a.Details, err = p.Plan(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	if err := p.Create(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	if err := s3Write(t.Context(), p.Variables(a), "key", "value"); err != nil {
		t.Error(err)
	}
	facts, err := p.Status(t.Context(), a)
	if err != nil || !strings.Contains(fmt.Sprint(facts), "it opens all other buckets, too") {
		t.Errorf("%v, %v", facts, err)
	}
	if _, err := p.Rotated(t.Context(), a); hop3.CodeOf(err) != hop3.CodeConflict {
		t.Errorf("a rotation to the same key: %v", err)
	}
	if _, err := p.Plan(t.Context(), a); hop3.CodeOf(err) != hop3.CodeConflict {
		t.Errorf("a bucket that is there: %v", err)
	}
	if err := p.Destroy(t.Context(), a); err != nil {
		t.Error(err)
	}
	if _, err := p.place(t).ListBuckets(t.Context()); err != nil {
		t.Errorf("the server's key is gone with the addon: %v", err)
	}
}

// place returns the configured server.
func (p *S3) place(t *testing.T) *minio.Client {
	t.Helper()
	c, err := p.configured().Client()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestS3KeepsOthersPolicies rotates the key of a bucket whose policy the admin
// has added to.
func TestS3KeepsOthersPolicies(t *testing.T) {
	s := hop3test.StartVersitygw(t)
	p := new(S3)
	if err := p.Open(hop3test.AddonServer{Settings: s3Settings(s)}); err != nil {
		t.Fatal(err)
	}
	a := hop3.Addon{Type: "s3", Name: "public"}
	var err error
	if a.Details, err = p.Plan(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	if err := p.Create(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	c := p.place(t)
	text, err := c.GetBucketPolicy(t.Context(), "hop3-public")
	if err != nil {
		t.Fatal(err)
	}
	added := `"Statement":[{"Sid":"Everybody","Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::hop3-public/*"},`
	if err := c.SetBucketPolicy(t.Context(), "hop3-public", strings.Replace(text, `"Statement":[`, added, 1)); err != nil {
		t.Fatal(err)
	}
	next := a
	if next.Details, err = p.Rotated(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	next.Last = a.Details
	if err := errors.Join(p.Create(t.Context(), next), p.Revoke(t.Context(), next, a.Details)); err != nil {
		t.Fatal(err)
	}
	text, err = c.GetBucketPolicy(t.Context(), "hop3-public")
	if err != nil || !strings.Contains(text, "Everybody") || strings.Contains(text, a.Details[s3AccessKey]) || !strings.Contains(text, next.Details[s3AccessKey]) {
		t.Errorf("%s, %v", text, err)
	}
	if err := p.Destroy(t.Context(), next); err != nil {
		t.Error(err)
	}
}

// TestS3Given is a bucket that is there, with the key that somebody has made
// for it; here it is an addon of the server's.
func TestS3Given(t *testing.T) {
	s := hop3test.StartVersitygw(t)
	p := new(S3)
	if err := p.Open(hop3test.AddonServer{Settings: s3Settings(s)}); err != nil {
		t.Fatal(err)
	}
	of := hop3.Addon{Type: "s3", Name: "there"}
	var err error
	if of.Details, err = p.Plan(t.Context(), of); err != nil {
		t.Fatal(err)
	}
	if err := p.Create(t.Context(), of); err != nil {
		t.Fatal(err)
	}
	without := new(S3)
	if err := without.Open(hop3test.AddonServer{}); err != nil {
		t.Fatal(err)
	}
	given := map[string][]string{s3Endpoint: {s.Endpoint + "/"}, s3Bucket: {"hop3-there"}, s3AccessKey: {of.Details[s3AccessKey]}}
	a := hop3.Addon{Type: "s3", Name: "given", Options: given, Details: hop3.AddonDetails{"password": of.Details[s3SecretKey]}}
	if a.Details, err = without.Plan(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	if err := without.Create(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	for key, value := range p.Variables(of) {
		if got := without.Variables(a)[key]; got != value {
			t.Errorf("%s is %q, not %q", key, got, value)
		}
	}
	env := without.Variables(a)
	write := func(key, value string) {
		t.Helper()
		if err := s3Write(t.Context(), env, key, value); err != nil {
			t.Fatal(err)
		}
	}
	holds := func(key, want string) {
		t.Helper()
		if got, err := s3Read(t.Context(), env, key); err != nil || got != want {
			t.Errorf("%s is %q, %v; want %q", key, got, err, want)
		}
	}
	write("kept", "first")
	var dump bytes.Buffer
	if _, err := without.Dump(t.Context(), a, &dump); err != nil {
		t.Fatal(err)
	}
	write("kept", "second")
	write("new", "value")
	err = without.Restore(t.Context(), a, bytes.NewReader(dump.Bytes()[:dump.Len()/2]))
	if hop3.CodeOf(err) != hop3.CodeInvalid || !strings.Contains(err.Error(), "now holds a part") {
		t.Errorf("half a dump: %v", err)
	}
	holds("new", "value")
	if err := without.Restore(t.Context(), a, &dump); err != nil {
		t.Fatal(err)
	}
	holds("kept", "first")
	holds("new", "")
	if _, err := without.Status(t.Context(), a); err != nil {
		t.Error(err)
	}
	if _, err := without.Rotated(t.Context(), a); hop3.CodeOf(err) != hop3.CodeInvalid {
		t.Errorf("a rotation: %v", err)
	}
	if err := without.Destroy(t.Context(), a); err != nil {
		t.Error(err)
	}
	holds("kept", "first")
	a.Details[s3SecretKey] = "not-the-secret"
	if err := without.Create(t.Context(), a); hop3.CodeOf(err) != hop3.CodeUnavailable || !strings.Contains(err.Error(), "Are the endpoint") {
		t.Errorf("a wrong secret: %v", err)
	}
	for option, want := range map[string]string{s3Endpoint: "endpoint is missing", s3Bucket: "bucket is missing", s3AccessKey: "access_key is missing"} {
		less := maps.Clone(given)
		delete(less, option)
		if _, err := without.Plan(t.Context(), hop3.Addon{Options: less, Details: hop3.AddonDetails{"password": "x"}}); hop3.CodeOf(err) != hop3.CodeInvalid || !strings.Contains(err.Error(), want) {
			t.Errorf("without %s: %v", option, err)
		}
	}
	if _, err := without.Plan(t.Context(), hop3.Addon{Options: given}); hop3.CodeOf(err) != hop3.CodeInvalid || !strings.Contains(err.Error(), "--password-stdin") {
		t.Errorf("without a secret: %v", err)
	}
	if err := p.Destroy(t.Context(), of); err != nil {
		t.Error(err)
	}
}
