<?php

namespace App;

use Greeting\Greeting;

final class Page
{
    public function show(): void
    {
        header('Content-Type: text/plain');
        echo (new Greeting('composer'))->text(), ', release ', getenv('RELEASE'), "\n";
    }
}
