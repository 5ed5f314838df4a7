package tests

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/abilian/hop3/hop3/hop3test"
)

// TestS3AndEmail gives an app a bucket and a mail server, as a user does, and
// has it use both; the bucket's objects outlive a rotation, and a clone has
// them.
func TestS3AndEmail(t *testing.T) {
	t.Parallel()
	s3 := hop3test.StartVersitygw(t)
	mails := make(chan string, 1)
	port := startMailbox(t, mails)
	s := startServerWith(t, "S3_ENDPOINT="+s3.Endpoint, "S3_ACCESS_KEY="+s3.AccessKey, "S3_SECRET_KEY="+s3.SecretKey)
	if err := s.logIn(); err != nil {
		t.Fatal(err)
	}
	s.push(t, "blog", docRepository)
	if err := os.WriteFile(filepath.Join(s.dir, "password"), []byte("mail-password\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	// What an app would do by a library. The key is not in the arguments.
	const curl = `printf 'user = "%s:%s"\n' "$S3_ACCESS_KEY" "$S3_SECRET_KEY" | curl -sS --fail-with-body -K - --aws-sigv4 "aws:amz:$S3_REGION:s3" ` +
		`-H "x-amz-content-sha256: $(sha256sum < $sent | cut -d' ' -f1)" "$S3_ENDPOINT/$S3_BUCKET/notes/one.txt"`
	put := `sent=Procfile; ` + curl + ` -T Procfile && echo written`
	get := `sent=/dev/null; ` + curl
	for _, step := range []struct{ line, want string }{
		{"hop3 addon create s3 files", "created s3 files"},
		{"hop3 addon attach files --app blog", "S3_BUCKET"},
		{"hop3 app run --app blog -- sh -c '" + strings.ReplaceAll(put, "'", `'\''`) + "'", "written"},
		{"hop3 addon s3 list files notes/", "notes/one.txt"},
		{"hop3 addon rotate files", ""},
		{"hop3 app run --app blog -- sh -c '" + strings.ReplaceAll(get, "'", `'\''`) + "'", docRepository["Procfile"]},
		{"hop3 addon s3 clone files copy", ""},
		{"hop3 addon s3 list copy notes/", "notes/one.txt"},
		{"hop3 addon destroy copy --yes", ""},
		{"hop3 addon detach files --app blog && hop3 addon destroy files --yes", ""},

		{"! hop3 addon create email mail --set host=127.0.0.1 --set port=" + port + " --set tls=none --set user=app --set from=app@example.com --password-stdin < /dev/null", "password"},
		{"hop3 addon create email mail --set host=127.0.0.1 --set port=" + port + " --set tls=none --set user=app --set from=app@example.com --password-stdin < password", "created email mail"},
		{"hop3 addon attach mail --app blog", "SMTP_URL"},
		{"hop3 app run --app blog -- printenv SMTP_URL", "smtp://app:mail-password@127.0.0.1:" + port},
		{"hop3 addon email test mail ada@example.org", "answered: 250"},
	} {
		out, err := s.run(s.dir, "sh", "-c", step.line)
		if err != nil || !strings.Contains(out, step.want) {
			t.Fatalf("%s\ndoes not show %q: %v\n%s", step.line, step.want, err, out)
		}
	}
	if mail := <-mails; !strings.Contains(mail, "Subject: Test of the addon mail") {
		t.Errorf("the mail is %s", mail)
	}
	buckets, err := os.ReadDir(s3.Data)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range buckets {
		if strings.HasPrefix(b.Name(), "hop3-") {
			t.Errorf("the bucket %s is left", b.Name())
		}
	}
}

// startMailbox starts a mail server that knows one login, and returns its port.
func startMailbox(t *testing.T, mails chan<- string) string {
	t.Helper()
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return mailbox{mails}, nil }))
	server.AllowInsecureAuth = true
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { _ = server.Serve(listener); close(done) }()
	t.Cleanup(func() { server.Close(); <-done })
	return strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)
}

type mailbox struct{ mails chan<- string }

func (mailbox) Reset()                               {}
func (mailbox) Logout() error                        { return nil }
func (mailbox) Mail(string, *smtp.MailOptions) error { return nil }
func (mailbox) Rcpt(string, *smtp.RcptOptions) error { return nil }
func (mailbox) AuthMechanisms() []string             { return []string{sasl.Plain} }

func (mailbox) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != "app" || password != "mail-password" {
			return smtp.ErrAuthFailed
		}
		return nil
	}), nil
}

func (m mailbox) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	m.mails <- string(text)
	return err
}
