<?php
header('Content-Type: text/plain');
echo 'Hello from php, release ', getenv('RELEASE'), "\n";
