package hop3test

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// s3Patience is how long a test waits for tests/run to have built versitygw,
// and then for an S3 server to answer.
const s3Patience = 12 * time.Minute

// S3 is an S3 server for tests, which ends with the test.
type S3 struct {
	Kind      string // versitygw or minio
	Endpoint  string
	AccessKey string // of its administrator
	SecretKey string
	Data      string // the directory that its buckets are in
}

// VersitygwBinary returns where versitygw is. It waits for one that tests/run
// is building, and skips the test where nobody has built one.
func VersitygwBinary(t testing.TB) string {
	t.Helper()
	path := os.Getenv("VERSITYGW_BIN")
	if path == "" {
		found, err := exec.LookPath("versitygw")
		if err == nil {
			return found
		}
		if os.Getenv("CI") == "true" {
			t.Fatal("VERSITYGW_BIN says nothing of an S3 server; tests/run builds it")
		}
		t.Skip("without versitygw, which tests/run builds, or in PATH")
	}
	awaitFile(t, path, s3Patience)
	return path
}

// awaitFile waits for a program that is being built.
func awaitFile(t testing.TB, path string, patience time.Duration) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		if _, err := os.Stat(path); err == nil {
			return
		} else if !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		if why, err := os.ReadFile(path + ".failed"); err == nil {
			t.Fatalf("%s could not be built:\n%s", filepath.Base(path), why)
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s was not built within %s", filepath.Base(path), patience)
		}
		time.Sleep(time.Second) // between two looks
	}
}

// StartVersitygw starts an S3 server in a directory of the test's own.
func StartVersitygw(t testing.TB) S3 {
	t.Helper()
	return startVersitygw(t, VersitygwBinary(t))
}

// StartS3 starts an S3 server of each kind that this machine has: versitygw,
// and MinIO where MINIO_BIN or PATH has it.
func StartS3(t *testing.T, test func(t *testing.T, s S3)) {
	t.Run("versitygw", func(t *testing.T) { test(t, StartVersitygw(t)) })
	minio := os.Getenv("MINIO_BIN")
	if minio == "" {
		minio, _ = exec.LookPath("minio")
	}
	if minio != "" {
		t.Run("minio", func(t *testing.T) { test(t, startMinIO(t, minio)) })
	}
}

func startVersitygw(t testing.TB, binary string) S3 {
	dir := t.TempDir()
	for _, name := range []string{"data", "users", "versions"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	s := S3{Kind: "versitygw", AccessKey: "root", SecretKey: "secret-of-the-test", Data: filepath.Join(dir, "data")}
	s.start(t, []string{"ROOT_ACCESS_KEY=" + s.AccessKey, "ROOT_SECRET_KEY=" + s.SecretKey}, func(address string) []string {
		return []string{
			binary, "--port", address, "--iam-dir", filepath.Join(dir, "users"), "--quiet",
			"posix", "--versioning-dir", filepath.Join(dir, "versions"), filepath.Join(dir, "data"),
		}
	})
	return s
}

func startMinIO(t testing.TB, binary string) S3 {
	dir := t.TempDir()
	s := S3{Kind: "minio", AccessKey: "root", SecretKey: "secret-of-the-test", Data: filepath.Join(dir, "data")}
	s.start(t, []string{"MINIO_ROOT_USER=" + s.AccessKey, "MINIO_ROOT_PASSWORD=" + s.SecretKey, "MINIO_BROWSER=off", "HOME=" + dir},
		func(address string) []string {
			return []string{binary, "server", "--quiet", "--address", address, filepath.Join(dir, "data")}
		})
	return s
}

// start starts a server on a port that was free, again where somebody else was
// faster to take it, and waits until it answers.
func (s *S3) start(t testing.TB, env []string, argv func(address string) []string) {
	t.Helper()
	for range 5 {
		address := freeAddress(t)
		args := argv(address)
		output := filepath.Join(t.TempDir(), "output")
		log, err := os.Create(output)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Env, cmd.Stdout, cmd.Stderr = append([]string{"PATH=" + os.Getenv("PATH")}, env...), log, log
		err = cmd.Start()
		log.Close()
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() { _ = cmd.Wait(); close(ended) }()
		if answers(address, ended) {
			t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
			s.Endpoint = "http://" + address
			return
		}
		_ = cmd.Process.Kill()
		<-ended
		text, _ := os.ReadFile(output)
		t.Logf("%s did not start:\n%s", s.Kind, text)
	}
	t.Fatalf("%s does not start", s.Kind)
}

// answers waits until something listens at an address; false once the process
// that should has ended.
func answers(address string, ended <-chan struct{}) bool {
	deadline := time.After(time.Minute)
	for {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			conn.Close()
			return true
		}
		select {
		case <-ended:
			return false
		case <-deadline:
			return false
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
