package sqldump

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func statements(t *testing.T, s *Scanner) (list []Statement) {
	t.Helper()
	for {
		st, err := s.Next()
		if errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		st.Text = append([]byte(nil), st.Text...)
		list = append(list, st)
	}
}

func TestScanner(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"nothing", " \n-- nothing\n/* at all */\n;;\n", nil},
		{"two", "SELECT 1; SELECT 2;", []string{"SELECT 1", "SELECT 2"}},
		{"no delimiter at the end", "SELECT 1;\nSELECT 2\n", []string{"SELECT 1", "SELECT 2"}},
		{"quotes", `INSERT INTO x VALUES ('a;\';b', "c;""d", 'e''f;');SELECT 2;`, []string{`INSERT INTO x VALUES ('a;\';b', "c;""d", 'e''f;')`, "SELECT 2"}},
		{"names", "SELECT `a;``b\\`; SELECT 2;", []string{"SELECT `a;``b\\`", "SELECT 2"}},
		{"comments within", "SELECT 1 -- not; 'this\n+ 2 # nor; \"this\n+ /* it's; */ 3;SELECT 4;", []string{"SELECT 1 -- not; 'this\n+ 2 # nor; \"this\n+ /* it's; */ 3", "SELECT 4"}},
		{"a comment of somebody called M", "SELECT 1 /*M's; */ + 2;", []string{"SELECT 1 /*M's; */ + 2"}},
		{"no comment", "SELECT 5--1, 6-1;", []string{"SELECT 5--1, 6-1"}},
		{"for versions", "/*!40101 SET NAMES utf8mb4 */;\n/*M!100100 SELECT 'a;b' */;", []string{"/*!40101 SET NAMES utf8mb4 */", "/*M!100100 SELECT 'a;b' */"}},
		{"the mode for sandboxes", "/*M!999999\\- enable the sandbox mode */ \n-- MariaDB dump 10.19\nSELECT 1;", []string{"SELECT 1"}},
		{"another delimiter", "DELIMITER ;;\nCREATE TRIGGER t BEGIN a; b; END ;;\ndelimiter ;\nSELECT 1;", []string{"CREATE TRIGGER t BEGIN a; b; END", "SELECT 1"}},
		{"the client's commands", "\\! id\n;system id;", []string{"\\! id", "system id"}},
		{"not closed", "SELECT 'a;b", []string{"SELECT 'a;b"}},
	} {
		for _, in := range []io.Reader{strings.NewReader(c.text), iotest.OneByteReader(strings.NewReader(c.text))} {
			var got []string
			for _, st := range statements(t, NewScanner(in)) {
				got = append(got, string(st.Text))
			}
			if strings.Join(got, "§") != strings.Join(c.want, "§") {
				t.Errorf("%s: %q, want %q", c.name, got, c.want)
			}
		}
	}
}

func TestStatement(t *testing.T) {
	for _, c := range []struct {
		text string
		kind Kind
		name string
		rows int64
	}{
		{"INSERT INTO `a (b` VALUES (1,'(x)'),(2,NULL),(3,'),(');", Data, "", 3},
		{"INSERT INTO `a` (`id`, `v`) VALUES (1, (2)), (3, 4);", Data, "", 2},
		{"REPLACE INTO a VALUES (1);", Data, "", 1},
		{"CREATE TABLE IF NOT EXISTS `view` (`values` int);", Data, "view", 0},
		{"DROP TABLE IF EXISTS `x`;", Data, "x", 0},
		{"LOCK TABLES `x` WRITE;", Data, "", 0},
		{"/*!40000 ALTER TABLE `x` DISABLE KEYS */;", Data, "x", 0},
		{"/*!50001 CREATE ALGORITHM=UNDEFINED */\n/*!50013 DEFINER=`root`@`localhost` SQL SECURITY DEFINER */\n/*!50001 VIEW `v` AS select 1 */;", Program, "v", 0},
		{"CREATE DEFINER=`a`@`%` PROCEDURE `p`() x;", Program, "p", 0},
		{"/*!50003 CREATE*/ /*!50017 DEFINER=`a`@`%`*/ /*!50003 TRIGGER `t` BEFORE INSERT ON x FOR EACH ROW x */;", Program, "t", 0},
		{"/*!50106 CREATE*/ /*!50117 DEFINER=`a`@`%`*/ /*!50106 EVENT IF NOT EXISTS `e` ON SCHEDULE x */;", Program, "e", 0},
		{"CREATE OR REPLACE PACKAGE BODY p AS x;", Program, "P", 0},
		{"/*!50001 DROP VIEW IF EXISTS `v`*/;", Program, "v", 0},
		{"/*!40101 SET @saved_cs_client     = @@character_set_client */;", Setting, "", 0},
		{"SET @@SESSION.SQL_LOG_BIN= 0;", Ignored, "", 0},
		{"SET @@GLOBAL.GTID_PURGED=/*!80000 '+'*/ '';", Ignored, "", 0},
		{"ALTER DATABASE `x` CHARACTER SET latin1;", Ignored, "x", 0},
		{"SELECT SETVAL(`s`, 1, 0);", Data, "", 1},
		{"SELECT 1;", Refused, "", 0},
		{"SET PASSWORD = 'x';", Refused, "", 0},
		{"/*!50003 SET PASSWORD = 'x' */;", Refused, "", 0},
		{"CREATE USER x;", Refused, "X", 0},
		{"DROP USER x;", Refused, "X", 0},
		{"GRANT ALL ON *.* TO x;", Refused, "", 0},
		{"\\! id;", Refused, "", 0},
		{"USE `x`;", OtherBase, "", 0},
		{"/*!40000 DROP DATABASE IF EXISTS `x`*/;", OtherBase, "x", 0},
		{"CREATE DATABASE /*!32312 IF NOT EXISTS*/ `x`;", OtherBase, "x", 0},
		{"this is no dump", Refused, "", 0},
	} {
		list := statements(t, NewScanner(strings.NewReader(c.text)))
		if len(list) != 1 {
			t.Errorf("%s: %d statements", c.text, len(list))
			continue
		}
		st := list[0]
		if got := st.Kind(); got != c.kind {
			t.Errorf("%s: kind %d, want %d", c.text, got, c.kind)
		}
		if got := Name(st.Words(12)); got != c.name {
			t.Errorf("%s: name %q, want %q", c.text, got, c.name)
		}
		if c.kind == Data && c.rows != st.Rows && st.Words(1)[0] != "CREATE" {
			t.Errorf("%s: %d rows, want %d", c.text, st.Rows, c.rows)
		}
	}
}

func TestWithoutDefiner(t *testing.T) {
	for _, c := range [][2]string{
		{"CREATE DEFINER=`a``b`@`%` PROCEDURE p() x", "CREATE  PROCEDURE p() x"},
		{"CREATE DEFINER = 'root'@'localhost' TRIGGER t", "CREATE  TRIGGER t"},
		{"CREATE OR REPLACE DEFINER=root@localhost FUNCTION f", "CREATE OR REPLACE  FUNCTION f"},
		{"CREATE DEFINER=CURRENT_USER() EVENT e", "CREATE  EVENT e"},
		{"/*!50001 CREATE ALGORITHM=UNDEFINED */\n/*!50013 DEFINER=`r`@`l` SQL SECURITY DEFINER */\n/*!50001 VIEW `v` AS select 'DEFINER=`x`@`y`' */", "/*!50001 CREATE ALGORITHM=UNDEFINED */\n/*!50013  SQL SECURITY DEFINER */\n/*!50001 VIEW `v` AS select 'DEFINER=`x`@`y`' */"},
		{"CREATE PROCEDURE p() SELECT 'CREATE DEFINER=x@y'", "CREATE PROCEDURE p() SELECT 'CREATE DEFINER=x@y'"},
	} {
		if got := WithoutDefiner(c[0]); got != c[1] {
			t.Errorf("%s:\n%q, want\n%q", c[0], got, c[1])
		}
	}
}

func TestScanner_KnowsWholeDumps(t *testing.T) {
	head, tail := "-- MySQL dump 10.13\nSELECT 1;\n", "-- Dump completed on 2026-01-01\n"
	for text, want := range map[string]bool{head: false, head + tail: true, "SELECT 1;\n": true, "": true, head + "SELECT '" + tail: false} {
		s := NewScanner(strings.NewReader(text))
		statements(t, s)
		if got := s.Whole(); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
	lost := errors.New("lost")
	s := NewScanner(io.MultiReader(strings.NewReader(head), iotest.ErrReader(lost)))
	if _, err := s.Next(); err != nil {
		t.Error(err)
	}
	if _, err := s.Next(); !errors.Is(err, lost) {
		t.Errorf("what cannot be read: %v", err)
	}
}

func FuzzScanner(f *testing.F) {
	for _, s := range []string{"DELIMITER ;;\nx;;", "SELECT 'a", "/*!50003 CREATE*/ /*!50017 DEFINER=`a`@`%`*/ x;", "INSERT INTO a VALUES (1,'\\'')", "-- MySQL dump\n-- Dump completed", "DELIMITER \nx", "/*M!999999 x", "#", "--", "``"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s := NewScanner(strings.NewReader(text))
		total := 0
		for {
			st, err := s.Next()
			if errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			total += len(st.Text)
			st.Kind()
			Name(st.Words(12))
			WithoutDefiner(string(st.Text))
		}
		if total > len(text) {
			t.Errorf("%d bytes of statements in %d of text", total, len(text))
		}
	})
}
