package serverconfig

import "strings"

// Backups are the settings of backups. What the target and the recipients mean
// is package backup's to say.
type Backups struct {
	Dir      string // "" for the home's
	Target   string
	S3       BackupS3
	SFTP     BackupSFTP
	Age      []string // recipients
	Identity string   // file
	Keep     int
	Platform string // schedule of the server's own; "" for none
}

// BackupS3 is as whom backups go to S3.
type BackupS3 struct{ Endpoint, Region, AccessKey, SecretKey string }

// BackupSFTP is as whom they go to another server.
type BackupSFTP struct{ HostKey, Key, Password string }

func backupKeys() []key {
	return []key{
		{name: "BACKUP_DIR",
			set: to(func(c *Config) *string { return &c.Backups.Dir }, optional(absolutePath)),
			doc: "where backups lie on this server; empty for backups in the home"},
		{name: "BACKUP_TARGET",
			set: to(func(c *Config) *string { return &c.Backups.Target }, anyText),
			doc: "where a copy of each backup goes: s3://bucket/prefix or sftp://user@host/path; empty for nowhere"},
		{name: "BACKUP_S3_ENDPOINT",
			set: to(func(c *Config) *string { return &c.Backups.S3.Endpoint }, anyText),
			doc: "the URL of the S3 service; empty for Amazon's"},
		{name: "BACKUP_S3_REGION",
			set: to(func(c *Config) *string { return &c.Backups.S3.Region }, anyText),
			doc: "the region of the bucket; empty to ask the service"},
		{name: "BACKUP_S3_ACCESS_KEY",
			set: to(func(c *Config) *string { return &c.Backups.S3.AccessKey }, anyText),
			doc: "the key that may read, write and delete there"},
		{name: "BACKUP_S3_SECRET_KEY", show: hidden,
			set: to(func(c *Config) *string { return &c.Backups.S3.SecretKey }, anyText),
			doc: "its secret"},
		{name: "BACKUP_SFTP_HOST_KEY",
			set: to(func(c *Config) *string { return &c.Backups.SFTP.HostKey }, anyText),
			doc: "the public key of the SFTP server, as ssh-keyscan prints it: no other server gets a backup"},
		{name: "BACKUP_SFTP_KEY",
			set: to(func(c *Config) *string { return &c.Backups.SFTP.Key }, optional(absolutePath)),
			doc: "the file of the private key that logs in there"},
		{name: "BACKUP_SFTP_PASSWORD", show: hidden,
			set: to(func(c *Config) *string { return &c.Backups.SFTP.Password }, anyText),
			doc: "the password that does, where there is no key"},
		{name: "BACKUP_AGE_RECIPIENTS", list: true,
			set: to(func(c *Config) *[]string { return &c.Backups.Age }, optional(words)),
			doc: "age recipients, separated by commas: all of a backup but its metadata is encrypted to them; empty for no encryption"},
		{name: "BACKUP_AGE_IDENTITY",
			set: to(func(c *Config) *string { return &c.Backups.Identity }, optional(absolutePath)),
			doc: "the file of the identity that decrypts, for restores and proofs"},
		{name: "BACKUP_KEEP", fallback: "7",
			set: to(func(c *Config) *int { return &c.Backups.Keep }, number(1, 1000)),
			doc: "how many of the backups that a schedule makes are kept, where the app does not say"},
		{name: "BACKUP_SCHEDULE",
			set: to(func(c *Config) *string { return &c.Backups.Platform }, anyText),
			doc: "when the server's own database is backed up, as cron has it, in UTC; empty for never by itself"},
	}
}

// words are the parts between commas.
func words(text string) ([]string, error) {
	var all []string
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			all = append(all, part)
		}
	}
	return all, nil
}
